"""What is told of the servers behind the API, and what Prometheus scrapes."""

import asyncio
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from amends.api import metrics
from amends.api.health import Health
from amends.api.metrics import registry_of
from eventstore.census import Census
from sagas.ports import TransportUnavailable

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(census: Census | None, latency: float | None) -> Samples:
    text = generate_latest(registry_of(census, latency)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_many_who_ask_at_once_ask_redis_once() -> None:
    asked: list[None] = []

    async def ping() -> float:
        asked.append(None)
        return 0.0015

    health = Health(ping)
    assert await asyncio.gather(*(health.latency() for _ in range(20))) == [0.0015] * 20
    assert len(asked) == 1


async def test_a_redis_that_is_away_has_no_latency() -> None:
    async def ping() -> float:
        raise TransportUnavailable("away")

    assert await Health(ping).latency() is None


def test_gauges_are_there_for_all_names_also_for_those_of_which_there_are_none() -> None:
    found = samples(Census({"active": 3}, {"operator": 2, "step": 4}, 4), 0.002)
    assert found["marketplace_queue_pending_jobs", ()] == 4
    assert found["amends_operator_waits", ()] == 2
    assert found["amends_sagas", (("status", "active"),)] == 3
    assert found["amends_sagas", (("status", "failed"),)] == 0
    assert found["amends_open_waits", (("kind", "step"),)] == 4
    assert found["amends_open_waits", (("kind", "retry"),)] == 0
    assert (found["amends_database_up", ()], found["amends_redis_up", ()]) == (1, 1)


def test_of_a_server_that_is_away_nothing_but_that_is_told() -> None:
    assert samples(None, None) == {("amends_database_up", ()): 0, ("amends_redis_up", ()): 0}


async def test_a_database_that_answers_is_up_while_counting_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ping() -> float:
        return 0.001

    async def never(database: object) -> Census:
        await asyncio.Event().wait()
        raise AssertionError

    async def now() -> float:
        return 0.0

    monkeypatch.setattr(metrics, "count", never)
    monkeypatch.setattr(metrics, "ANSWER_SECONDS", 0.05)
    store = type("Store", (), {"now": staticmethod(now)})()
    backend: Any = type("Backend", (), {"database": None, "store": store})()
    request: Any = None
    text: Any = (await metrics.Metrics(Health(ping)).scrape(request, backend)).body
    assert b"amends_database_up 1.0" in text
    assert b"amends_counted 0.0" in text
    assert b"amends_sagas" not in text
    assert samples(Census({}, {}, 0), 0.1)["amends_counted", ()] == 1

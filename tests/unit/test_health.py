"""What is told of the servers behind the API, and what Prometheus scrapes."""

import asyncio
from typing import Any, cast

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from amends.api import metrics
from amends.api.health import Health
from amends.api.metrics import registry_of
from eventstore import census
from eventstore.census import Census, Counter
from sagas.ports import StoreUnavailable, TransportUnavailable

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

    async def never(counter: Counter, database: object) -> Census:
        await asyncio.Event().wait()
        raise AssertionError

    async def now() -> float:
        return 0.0

    monkeypatch.setattr(Counter, "count", never)
    monkeypatch.setattr(metrics, "ANSWER_SECONDS", 0.05)
    store = type("Store", (), {"now": staticmethod(now)})()
    backend: Any = type("Backend", (), {"database": None, "store": store})()
    request: Any = None
    text: Any = (await metrics.Metrics(Health(ping)).scrape(request, backend)).body
    assert b"amends_database_up 1.0" in text
    assert b"amends_counted 0.0" in text
    assert b"amends_sagas" not in text
    assert samples(Census({}, {}, 0), 0.1)["amends_counted", ()] == 1


class Waits:
    """A pool that knows one open wait."""

    async def fetch(self, query: str, **_: object) -> list[dict[str, object]]:
        return [{"what": "wait", "name": "signal", "number": 1}]


async def test_a_count_of_sagas_that_takes_long_is_waited_for_once_and_seldom_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A million heads take seconds to read, and Prometheus asks every few."""
    monkeypatch.setattr(census, "FRESH_SECONDS", 0.01)
    monkeypatch.setattr(census, "SHARE", 0.0001)
    counts = iter(range(1, 9))
    gate = asyncio.Event()

    async def slow(pool: object) -> dict[str, int]:
        await gate.wait()
        return {"active": next(counts)}

    counter, pool = Counter(slow), cast("Any", Waits())
    first = asyncio.create_task(counter.count(pool))
    done, _ = await asyncio.wait({first}, timeout=0.05)
    assert not done, "there is none that could be told"
    gate.set()
    assert (await first).sagas == {"active": 1}
    assert (await counter.count(pool)).sagas == {"active": 1}, "it took longer than is fresh: not so soon again"
    assert (await counter.count(pool)).waits == {"signal": 1}


async def test_a_quick_count_of_sagas_is_of_now() -> None:
    counts = iter(range(1, 9))

    async def quick(pool: object) -> dict[str, int]:
        return {"active": next(counts)}

    counter, pool = Counter(quick), cast("Any", Waits())
    assert [(await counter.count(pool)).sagas["active"] for _ in range(3)] == [1, 2, 3]


async def test_sagas_that_cannot_be_counted_are_not_told() -> None:
    async def away(pool: object) -> dict[str, int]:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        await Counter(away).count(cast("Any", Waits()))

"""`GET /api/metrics`: what Prometheus scrapes, counted when it asks."""

import asyncio
from collections.abc import Mapping
from typing import get_args

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from amends.api.health import ANSWER_SECONDS, Health
from amends.backend import Backend
from eventstore.census import Census, Counter
from sagas.ports import StoreUnavailable
from sagas.statuses import SagaStatus, WaitKind


class Metrics:
    """Gauges of the database's content. While it is away only the connectivity is told."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._counter = Counter()

    async def scrape(self, request: web.Request, backend: Backend) -> web.Response:
        """`GET /api/metrics`: sagas, waits, pending jobs and connectivity, in Prometheus' text format."""
        latency, answers, census = await asyncio.gather(
            self._health.latency(), _answers(backend), self._counted(backend)
        )
        body = generate_latest(registry_of(census, latency, answers=answers or census is not None))
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _counted(self, backend: Backend) -> Census | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._counter.count(backend.database)
        except (StoreUnavailable, TimeoutError):
            return None


def registry_of(
    census: Census | None, redis_latency: float | None, *, answers: bool | None = None
) -> CollectorRegistry:
    """A registry of its own for one scrape; None stands for a server that is away, or a count that took too long."""
    registry = CollectorRegistry()
    is_up = census is not None if answers is None else answers
    _gauge(registry, "amends_database_up", "Whether PostgreSQL answers", float(is_up))
    if is_up:
        _gauge(registry, "amends_counted", "Whether sagas and waits were counted in time", float(census is not None))
    _gauge(registry, "amends_redis_up", "Whether Redis answers", float(redis_latency is not None))
    if redis_latency is not None:
        _gauge(registry, "amends_redis_latency_seconds", "How long Redis takes to answer", redis_latency)
    if census is not None:
        _gauge(registry, "marketplace_queue_pending_jobs", "Jobs sent out or to be tried again", census.pending_jobs)
        _gauge(registry, "amends_operator_waits", "What waits for a person to decide", census.waits.get("operator", 0))
        _gauges(registry, "amends_sagas", "Sagas by status", "status", get_args(SagaStatus), census.sagas)
        _gauges(registry, "amends_open_waits", "Open waits by kind", "kind", get_args(WaitKind), census.waits)
    return registry


async def _answers(backend: Backend) -> bool:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await backend.store.now()
    except (StoreUnavailable, TimeoutError):
        return False
    return True


def _gauge(registry: CollectorRegistry, name: str, says: str, value: float) -> None:
    Gauge(name, says, registry=registry).set(value)


def _gauges(
    registry: CollectorRegistry, name: str, says: str, label: str, all_of: tuple[str, ...], found: Mapping[str, int]
) -> None:
    """One value for each name, also for those of which there are none."""
    gauge = Gauge(name, says, [label], registry=registry)
    for each in dict.fromkeys((*all_of, *found)):
        gauge.labels(each).set(found.get(each, 0))

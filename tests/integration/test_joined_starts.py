"""Starts in transactions of the caller's own: they hold nobody else up, and mean what the API's starts mean."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import pytest

from amends import Saga, settings, start
from eventstore.postgres import PostgresStore
from tests.unit.definition.test_edges import T

SECONDS = 5.0
Connection = Any


def named(name: str) -> Saga[T, None]:
    saga = Saga(name, input=T)

    @saga.step("a")
    async def a(request: T) -> None: ...

    return saga


@pytest.fixture
async def connections(database_url: str) -> AsyncGenerator[tuple[Connection, Connection]]:
    one, other = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    yield one, other
    await one.close()
    await other.close()


async def test_rule_a4_two_callers_start_the_same_sagas_in_any_order(
    connections: tuple[Connection, Connection],
) -> None:
    one, other = connections
    first, second = named("first"), named("second")
    for saga in (first, second):
        await start(saga, T(), connection=one)
    async with asyncio.timeout(SECONDS), one.transaction(), other.transaction():
        await start(first, T(), connection=one)
        await start(second, T(), connection=other)
        await start(second, T(), connection=one)
        await start(first, T(), connection=other)


async def test_a_joined_start_takes_its_defaults_from_the_settings(
    connections: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("QUEUE_MAX_RETRIES", "1")
    monkeypatch.setenv("AMENDS_STEP_TIMEOUT", "3")
    saga = named("one")
    saga.check()
    saga_id = await start(saga, T(), connection=connections[0])
    store = await PostgresStore.open(database_url, pool_size=1)
    fingerprint = (await store.heads([saga_id]))[saga_id].fingerprint
    (found,) = (await store.manifests([fingerprint])).values()
    await store.close()
    assert fingerprint == saga.seal(settings.load().defaults).manifest.fingerprint
    handler = found.nodes[0].handler
    assert handler is not None
    assert (handler.timeout, handler.retry.delays) == (3.0, (1.0,))

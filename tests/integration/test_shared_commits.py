"""Starts that come together over HTTP cost few commits of a real database, and hold each other up in nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import pytest

from amends import Saga, start
from amends.api.app import make_app
from amends.api.server import listening
from amends.backend import Backend
from amends.clock import LoopClock
from eventstore import gathering, requests
from eventstore.gathering import Asked, Gathering
from eventstore.postgres import PostgresStore
from orchestrator import commits
from orchestrator.engine import Engine
from tests.unit.test_client import Number, saga
from tests.unit.test_routes import KEY, ping

STARTS = 100

pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")


@asynccontextmanager
async def api(
    url: str, served: Saga[Any, Any] = saga
) -> AsyncGenerator[tuple[PostgresStore, aiohttp.ClientSession, str]]:
    """An API without services beside it. The session asks it at its address, which comes last."""
    store = await PostgresStore.open(url, lock_seconds=0.05)
    sealed = served.seal()
    await store.put_manifest(sealed.manifest)
    nobody: Any = None
    backend = Backend(store, store.pool, Engine(store, LoopClock()), nobody, {served.name: sealed})
    app = make_app(backend, [], KEY, ping)
    connector = aiohttp.TCPConnector(limit=STARTS)
    try:
        async with (
            listening(app, "127.0.0.1", 0) as base,
            aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {KEY}"}, connector=connector) as session,
        ):
            yield store, session, base
    finally:
        await backend.close()
        await store.close()


class Held(Gathering[Any, Any]):
    """Begins nothing before all starts have come to it, and notes how large its batches are."""

    def __init__(self, work: Callable[[list[Asked[Any, Any]]], Coroutine[Any, Any, None]]) -> None:
        async def held(batch: list[Asked[Any, Any]]) -> None:
            self.sizes.append(len(batch))
            await self.full.wait()
            await work(batch)

        super().__init__(held)
        self.sizes: list[int] = []
        self.full = asyncio.Event()
        self.arrived = 0

    async def ask(self, words: Sequence[Any], size: int = 0) -> list[Any]:
        """Ask."""
        asking = asyncio.create_task(super().ask(words, size))
        self.arrived += 1
        if self.arrived == STARTS:
            self.full.set()
        return await asking


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[Held]:
    """What gathers in an API that is begun now."""
    made: list[Held] = []

    def make(work: Callable[[list[Asked[Any, Any]]], Coroutine[Any, Any, None]]) -> Held:
        made.append(Held(work))
        return made[-1]

    monkeypatch.setattr(gathering, "PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(commits, "Gathering", make)
    monkeypatch.setattr(requests, "Gathering", make)
    return made


async def post(session: aiohttp.ClientSession, number: int, key: str | None = None) -> tuple[int, dict[str, Any]]:
    body = {"definition": "counting", "input": {"n": number}, "key": key or f"k{number}"}
    async with session.post("/api/sagas", json=body, headers={"Idempotency-Key": f"r{number}"}) as response:
        return response.status, await response.json(content_type=None)


async def test_a_hundred_keyed_starts_are_at_most_two_commits_of_each_kind(
    database_url: str, gathered: list[Held]
) -> None:
    async with api(database_url) as (store, session, _):
        told = await asyncio.gather(*(post(session, number) for number in range(STARTS)))
        assert [status for status, _ in told] == [201] * STARTS
        assert len({body["sagaId"] for _, body in told}) == STARTS
        sizes = [one.sizes for one in gathered if one.sizes]
        assert [sum(batches) for batches in sizes] == [STARTS] * 3, "keys taken, answers kept, sagas started"
        assert [len(batches) <= 2 for batches in sizes] == [True] * 3, "the first, and the rest"
        starts, kept, sagas = [
            await store.pool.fetchval(f"SELECT count({what}) FROM amends.{table}")
            for what, table in (
                ("DISTINCT transaction_id", "workflow_events"), ("DISTINCT xmin::text", "request_keys"), ("*", "sagas")
            )
        ]  # fmt: skip
        assert max(starts, kept) <= 2
        assert sagas == STARTS


async def test_rule_a4_a_key_in_somebodys_open_transaction_holds_up_nobody_else(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        async with api(database_url) as (_, session, _):
            async with connection.transaction():
                joined = await start(saga, Number(n=1), connection=connection, key="taken")
                twin = asyncio.create_task(post(session, 1, "taken"))
                others = await asyncio.gather(*(post(session, number) for number in range(2, 12)))
                assert [status for status, _ in others] == [201] * 10
                assert not twin.done()
            assert [(await twin)[0], (await twin)[1]["sagaId"]] == [200, joined]
    finally:
        await connection.close()

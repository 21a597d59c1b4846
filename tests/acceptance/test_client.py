"""The Python client, and a start inside a transaction of the caller's own."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from amends import Breaker, Client, ClientError, InputError, KeyConflict, NotCompletedError, NotSupported, Saga, start
from tests.acceptance.doubling import Number, doubling
from tests.acceptance.running import Running, running, until

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
async def made() -> AsyncGenerator[Running]:
    async with running(sagas="tests.acceptance.doubling", environment={"PYTHONPATH": str(ROOT)}) as started:
        yield started


async def test_a_service_starts_sagas_and_takes_their_results(made: Running) -> None:
    async with Client(made.runtime["url"], key=made.runtime["api_key"]) as client:
        handle = await client.start(doubling, Number(n=21), key="k")
        assert handle.created
        assert (await handle.result(timeout=20)).doubled == 42
        assert await handle.status() == "completed"
        again = await client.start(doubling, Number(n=21), key="k")
        assert (again.id, again.created) == (handle.id, False)
        assert (await client.handle(doubling, handle.id).result(timeout=5)).doubled == 42
        with pytest.raises(ClientError, match="409 Key conflict"):
            await client.start(doubling, Number(n=22), key="k")
        wrong: Any = {"n": "x"}
        with pytest.raises(InputError, match="field 'n'"):
            await client.start(doubling, wrong)
        sad = await client.start(doubling, Number(n=-1))
        with pytest.raises(NotCompletedError, match="is compensated: negative"):
            await sad.result(timeout=20)
        with pytest.raises(ClientError, match="409 Refused"):
            await client.cancel(handle.id, reason="too late")


async def test_a_joined_start_is_there_if_the_caller_commits_and_begins_at_once(made: Running) -> None:
    connection = await asyncpg.connect(made.runtime["database_url"])
    transaction = connection.transaction()
    await transaction.start()
    gone = await start(doubling, Number(n=1), connection=connection, key="joined")
    await transaction.rollback()
    assert (await made.call("GET", f"/api/sagas/{gone}"))[0] == 404
    async with connection.transaction():
        kept = await start(doubling, Number(n=1), connection=connection, key="joined")
        with pytest.raises(KeyConflict):
            await start(doubling, Number(n=2), connection=connection, key="joined")

    async def completed() -> bool:
        return bool((await made.saga(kept))["status"] == "completed")

    await until(completed, 10)
    await connection.close()


async def test_a_saga_that_cannot_run_yet_is_not_started() -> None:
    hasty = Saga("hasty", input=Number)

    @hasty.step("answer", breaker=Breaker("agents"))
    async def answer(number: Number) -> int:
        return number.n

    with pytest.raises(NotSupported, match="breaker 'agents' of step 'answer'"):
        await start(hasty, Number(n=1), connection=None)

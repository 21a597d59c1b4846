"""What the tests share that damage a running Amends: many approvals, and what must be true of them at the end."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.acceptance.running import PLAN, Running, pause, until

SLOW = {"AMENDS_DEVELOPMENT": "1", "AMENDS_FAULTS": "approval.tasks=sleep:0.3,approval.published=sleep:0.3"}
TASKS = len(PLAN["opportunities"])


COMPLETED = "SELECT count(*) FROM amends.sagas WHERE definition = 'approval' AND status = 'completed'"


@contextlib.contextmanager
def folder_of(prefix: str) -> Generator[Path]:
    """A data directory that outlives an `amends up`; PostgreSQL's own user can reach it."""
    made = Path(tempfile.mkdtemp(prefix=prefix))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def folder() -> AsyncGenerator[Path]:
    with folder_of("amends-damage-") as made:
        yield made


async def let_pass(seconds: float) -> None:
    """Let time pass in which others do something."""
    until_then = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until_then:
        await pause()


async def approve_stubbornly(made: Running, plan_id: str) -> str:
    """Approve, and again when the API was killed meanwhile: the second approval is the same saga."""
    while True:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, AssertionError):
            return await made.approve(plan_id)
        await pause()


async def approve_all(made: Running, plans: Sequence[str]) -> list[str]:
    gate = asyncio.Semaphore(20)

    async def one(plan_id: str) -> str:
        async with gate:
            return await approve_stubbornly(made, plan_id)

    return list(await asyncio.gather(*(one(plan_id) for plan_id in plans)))


async def completed(made: Running) -> int:
    found: int = await made.database.fetchval(COMPLETED)
    return found


async def check_all_ended(made: Running, plans: Sequence[str], seconds: float) -> None:
    """All are completed, each task exists once, and every promise is kept."""

    async def done() -> bool:
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if not made.database.is_closed():
                return await completed(made) == len(plans)
            made.database = await asyncpg.connect(made.runtime["database_url"])
            return False
        made.database.terminate()
        return False

    async def left() -> list[Any]:
        return await made.database.fetch("SELECT status, state::text FROM amends.sagas WHERE status <> 'completed'")

    try:
        await until(done, seconds)
    except AssertionError:
        found = await left()
        pytest.fail(f"{len(found)} are not completed: {found[:3]}")
    counts = await made.database.fetch("SELECT plan_id, count(*) AS n FROM tasks GROUP BY plan_id")
    assert sorted(str(row["plan_id"]) for row in counts) == sorted(plans)
    assert {row["n"] for row in counts} == {TASKS}
    assert await made.database.fetchval("SELECT count(*) FROM marketplace_notifications") == len(plans)
    made.check_invariants()

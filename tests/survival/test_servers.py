"""Redis forgets, stands still and dies; a worker freezes; everything is killed at once: all approvals end.

Two orchestrators and two reconcilers are at work all the time, and do not get in each other's way.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.damage import SLOW, approve_all, check_all_ended, completed
from tests.acceptance.running import Running, pause, running, until
from tests.servers import raw_redis
from tests.survival import ledger

APPROVALS = 200
WALKS = 200
TWO_OF_ALL: dict[str, Any] = {"workers": 2, "orchestrators": 2, "environment": SLOW}


@pytest.fixture
async def folder() -> AsyncGenerator[Path]:
    made = Path(tempfile.mkdtemp(prefix="amends-survival-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def let_pass(seconds: float) -> None:
    until_then = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until_then:
        await pause()


@contextlib.asynccontextmanager
async def walking(folder: Path) -> AsyncGenerator[Running]:
    """200 plans are being approved and as many walks are under way; at the end all is checked."""
    ledger.prepare(folder)
    async with Running(folder, sagas=ledger.SAGAS, **TWO_OF_ALL) as made, made.another("reconciler"):
        plans = [await made.pending_plan() for _ in range(APPROVALS)]
        approving = asyncio.create_task(approve_all(made, plans))
        starting = asyncio.create_task(ledger.start_all(made, WALKS))
        yield made
        await asyncio.gather(approving, starting)

        async def walked() -> bool:
            found = "SELECT count(*) FROM amends.sagas WHERE definition = 'walk' AND status = 'completed'"
            return bool(await made.database.fetchval(found) == WALKS)

        await until(walked, 120)
        await check_all_ended(made, plans, 120)
        ledger.check(ledger.read(folder), WALKS)


@pytest.mark.timeout(300)
async def test_redis_is_flushed_three_times_and_no_step_that_ran_to_its_end_runs_again(folder: Path) -> None:
    async with walking(folder) as made:
        client = raw_redis(made.runtime["redis_url"])
        for share in (20, 80, 140):

            async def so_many(share: int = share) -> bool:
                return await completed(made) >= share

            await until(so_many, 120)
            await client.flushall()
        await client.aclose()


@pytest.mark.timeout(300)
async def test_valkey_stands_still_for_ten_seconds_and_is_killed_and_no_step_runs_again(folder: Path) -> None:
    async with walking(folder) as made:

        async def some() -> bool:
            return await completed(made) >= 20

        await until(some, 60)
        (valkey,) = made.pids("valkey")
        os.kill(valkey, signal.SIGSTOP)
        await let_pass(10)
        os.kill(valkey, signal.SIGKILL)


@pytest.mark.timeout(240)
async def test_everything_is_killed_at_once_and_a_new_up_goes_on(folder: Path) -> None:
    async with Running(folder, **TWO_OF_ALL) as first:
        plans = [await first.pending_plan() for _ in range(APPROVALS)]
        sagas = await approve_all(first, plans)
        pids = [first.process.pid, *first.pids("")]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(first.process.wait)
        first.killed = True
    async with Running(folder, **TWO_OF_ALL) as second, second.another("reconciler"):
        assert len(set(sagas)) == len(plans)
        await check_all_ended(second, plans, 90)


@pytest.mark.timeout(180)
async def test_a_worker_that_is_frozen_for_three_leases_changes_nothing() -> None:
    async with running(**TWO_OF_ALL) as made, made.another("reconciler"):
        plans = [await made.pending_plan() for _ in range(40)]
        approving = asyncio.create_task(approve_all(made, plans))

        async def some() -> bool:
            return await completed(made) >= 2

        await until(some, 60)
        frozen = made.pids("worker")[0]
        os.kill(frozen, signal.SIGSTOP)
        await approving
        await let_pass(12)
        os.kill(frozen, signal.SIGCONT)
        await check_all_ended(made, plans, 90)

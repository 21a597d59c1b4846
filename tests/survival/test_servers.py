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

APPROVALS = 200
TWO_OF_ALL: dict[str, Any] = {"workers": 2, "orchestrators": 2, "environment": SLOW}
RAN_AGAIN = """
SELECT ended.workflow_id::text, ended.event_data ->> 'step' AS step
FROM amends.workflow_events AS ended
JOIN amends.workflow_events AS later USING (workflow_id)
WHERE ended.event_type = 'StepSucceeded' AND later.event_type = 'StepScheduled'
    AND later.sequence_number > ended.sequence_number
    AND later.event_data ->> 'step' = ended.event_data ->> 'step'
"""


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


@pytest.mark.timeout(240)
async def test_redis_is_flushed_three_times_under_200_approvals() -> None:
    async with running(**TWO_OF_ALL) as made, made.another("reconciler"):
        plans = [await made.pending_plan() for _ in range(APPROVALS)]
        client = raw_redis(made.runtime["redis_url"])
        approving = asyncio.create_task(approve_all(made, plans))
        for share in (20, 80, 140):

            async def so_many(share: int = share) -> bool:
                return await completed(made) >= share

            await until(so_many, 120)
            await client.flushall()
        await approving
        await check_all_ended(made, plans, 120)
        assert await made.database.fetch(RAN_AGAIN) == []
        await client.aclose()


@pytest.mark.timeout(240)
async def test_valkey_stands_still_for_ten_seconds_and_is_killed_under_200_approvals() -> None:
    async with running(**TWO_OF_ALL) as made, made.another("reconciler"):
        plans = [await made.pending_plan() for _ in range(APPROVALS)]
        approving = asyncio.create_task(approve_all(made, plans))

        async def some() -> bool:
            return await completed(made) >= 20

        await until(some, 60)
        (valkey,) = made.pids("valkey")
        os.kill(valkey, signal.SIGSTOP)
        await let_pass(10)
        os.kill(valkey, signal.SIGKILL)
        await approving
        await check_all_ended(made, plans, 120)
        assert await made.database.fetch(RAN_AGAIN) == []


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

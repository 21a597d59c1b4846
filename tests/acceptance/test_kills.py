"""Processes are killed with SIGKILL under 200 approvals: all end, each task exists once, every promise is kept."""

import asyncio
import contextlib
import os
import random
import signal
from typing import Any

import aiohttp
import pytest

from tests.acceptance.running import PLAN, Running, pause, running, until

APPROVALS = 200
KILLS = 9
SLOW = {"AMENDS_DEVELOPMENT": "1", "AMENDS_FAULTS": "approval.tasks=sleep:0.3,approval.published=sleep:0.3"}
TASKS = len(PLAN["opportunities"])


async def approve_stubbornly(made: Running, plan_id: str) -> str:
    """Approve, and again when the API was killed meanwhile: the second approval is the same saga."""
    while True:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, AssertionError):
            return await made.approve(plan_id)
        await pause()


async def kill_now_and_then(made: Running, roles: tuple[str, ...], rng: random.Random) -> list[str]:
    killed: list[str] = []
    while len(killed) < KILLS:
        for _ in range(rng.randint(2, 10)):
            await pause()
        role = roles[len(killed) % len(roles)]
        with contextlib.suppress(ProcessLookupError):  # it may not be back yet
            os.kill(rng.choice(made.pids(role)), signal.SIGKILL)
            killed.append(role)
    return killed


@pytest.mark.timeout(240)
async def test_all_approvals_end_though_any_process_is_killed() -> None:
    rng = random.Random(7)
    async with running(workers=3, orchestrators=2, environment=SLOW) as made:
        plans = [await made.pending_plan() for _ in range(APPROVALS)]
        killing = asyncio.create_task(kill_now_and_then(made, ("worker", "orchestrator", "api"), rng))
        gate = asyncio.Semaphore(20)

        async def one(plan_id: str) -> str:
            async with gate:
                return await approve_stubbornly(made, plan_id)

        sagas = await asyncio.gather(*(one(plan_id) for plan_id in plans))
        assert len(set(sagas)) == APPROVALS
        assert len(await killing) == KILLS

        async def all_completed() -> bool:
            left = await made.database.fetchval(
                "SELECT count(*) FROM amends.sagas WHERE definition = 'approval' AND status <> 'completed'"
            )
            return bool(left == 0)

        async def stuck() -> list[Any]:
            return await made.database.fetch(
                "SELECT status, state FROM amends.sagas WHERE status <> 'completed' LIMIT 3"
            )

        try:
            await until(all_completed, 90)
        except AssertionError:
            pytest.fail(f"not all completed: {await stuck()}")
        counts = await made.database.fetch("SELECT plan_id, count(*) AS n FROM tasks GROUP BY plan_id")
        assert sorted(str(row["plan_id"]) for row in counts) == sorted(plans)
        assert {row["n"] for row in counts} == {TASKS}
        assert await made.database.fetchval("SELECT count(*) FROM marketplace_notifications") == APPROVALS
        statuses = await made.database.fetch("SELECT DISTINCT status FROM marketplace_plans")
        assert [row["status"] for row in statuses] == ["ready"]
        made.check_invariants()


@pytest.mark.timeout(180)
async def test_both_servers_are_killed_and_nothing_is_lost() -> None:
    async with running(workers=2, environment=SLOW) as made:
        plans = [await made.pending_plan() for _ in range(30)]
        sagas = [await made.approve(plan_id) for plan_id in plans[:15]]
        os.kill(made.pids("valkey")[0], signal.SIGKILL)
        sagas += [await made.approve(plan_id) for plan_id in plans[15:20]]
        os.kill(made.pids("postgres")[0], signal.SIGKILL)
        await made.database.close()
        sagas += [await approve_stubbornly(made, plan_id) for plan_id in plans[20:]]
        for saga_id in sagas:
            assert (await made.ended(saga_id, 60))["status"] == "completed"
        for plan_id in plans:
            assert len((await made.plan(plan_id))["tasks"]) == TASKS
        made.check_invariants()

"""Processes are killed with SIGKILL under 200 approvals: all end, each task exists once, every promise is kept."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.acceptance.damage import SLOW, TASKS, approve_all, approve_stubbornly, check_all_ended, folder
from tests.acceptance.running import Running, pause, running, until
from tests.processes import alive

__all__ = ["folder"]
APPROVALS = 200
ROLES = (
    "worker",
    "orchestrator",
    "api",
    "valkey",
    "reconciler",
    "worker",
    "postgres",
    "notifier",
    "orchestrator",
    "api",
)
KILLS = len(ROLES)


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
    async with running(workers=3, orchestrators=2, environment=SLOW) as made, made.another("reconciler"):
        plans = [await made.pending_plan() for _ in range(APPROVALS)]
        killing = asyncio.create_task(kill_now_and_then(made, ROLES, rng))
        assert len(set(await approve_all(made, plans))) == APPROVALS
        assert len(await killing) == KILLS

        await check_all_ended(made, plans, 120)
        statuses = await made.database.fetch("SELECT DISTINCT status FROM marketplace_plans")
        assert [row["status"] for row in statuses] == ["ready"]


@pytest.mark.timeout(180)
async def test_both_servers_are_killed_and_nothing_is_lost() -> None:
    async with running(workers=2, environment=SLOW) as made:
        plans = [await made.pending_plan() for _ in range(30)]
        sagas = [await made.approve(plan_id) for plan_id in plans[:15]]
        os.kill(made.pids("valkey")[0], signal.SIGKILL)
        sagas += [await made.approve(plan_id) for plan_id in plans[15:20]]
        os.kill(made.pids("postgres")[0], signal.SIGKILL)
        made.database.terminate()
        sagas += [await approve_stubbornly(made, plan_id) for plan_id in plans[20:]]
        for saga_id in sagas:
            assert (await made.ended(saga_id, 60))["status"] == "completed"
        for plan_id in plans:
            assert len((await made.plan(plan_id))["tasks"]) == TASKS
        made.check_invariants()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tell that a parent is gone")
@pytest.mark.timeout(180)
async def test_only_the_supervisor_is_killed_its_processes_end_and_a_new_up_goes_on(folder: Path) -> None:
    async with Running(folder, workers=2, environment=SLOW) as first:
        assert (folder / "runtime.json").stat().st_mode & 0o777 == 0o600
        plans = [await first.pending_plan() for _ in range(20)]
        await approve_all(first, plans)
        before = first.pids("")
        assert all(alive(pid) for pid in before)
        first.process.kill()
        await asyncio.to_thread(first.process.wait)
        first.killed = True
    async with Running(folder, workers=2, environment=SLOW) as second:

        async def gone() -> bool:
            return not [pid for pid in before if alive(pid)]

        await until(gone, 30)
        await check_all_ended(second, plans, 90)

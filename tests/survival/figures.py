"""`make figures`: how long a lost worker's step waits, and how long a killed PostgreSQL is away under 200 approvals.

The first is rule L1 (req. X11). It ends with 1 when one of the two is over five seconds.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import time
from typing import Any

import asyncpg

from tests.acceptance.damage import SLOW as SLOW_TASKS
from tests.acceptance.damage import approve_all, check_all_ended, completed
from tests.acceptance.running import Running, running, until

SLOW = {"AMENDS_DEVELOPMENT": "1", "AMENDS_FAULTS": "approval.phase1=sleep:3"}
WORKERS = 3
APPROVALS = 200
SECONDS_MAX = 5.0


async def started(made: Running, saga_id: str, attempt: int) -> dict[str, Any] | None:
    """The event that says that an attempt of `phase1` has been running for a second."""
    row = await made.database.fetchrow(
        "SELECT event_data::text AS data, extract(epoch FROM created_at)::float8 AS at FROM amends.workflow_events "
        "WHERE workflow_id = $1 AND event_type = 'StepStarted' AND event_data ->> 'step' = 'phase1' "
        "AND event_data ->> 'attempt' = $2",
        saga_id, str(attempt),
    )  # fmt: skip
    return None if row is None else {**json.loads(row["data"]), "at": row["at"]}


async def one(made: Running) -> float:
    """Kill the worker that runs the step; seconds until the next attempt began."""
    saga_id = await made.approve(await made.pending_plan())
    first = await until(lambda: started(made, saga_id, 1), 30)
    pid = int(str(first["worker"]).partition("/")[2].partition("-")[0])
    killed_at = time.time()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    second = await until(lambda: started(made, saga_id, 2), 30)
    return float(second["at"]) - float(second["ago"]) - killed_at


async def takeovers(kills: int) -> list[float]:
    """The seconds of so many kills of workers, one after the other."""
    async with running(workers=WORKERS, environment=SLOW) as made:
        return [await one(made) for _ in range(kills)]


async def ready_again(made: Running) -> float:
    """Kill PostgreSQL; seconds until it takes a connection and reads what was written."""
    (pid,) = made.pids("postgres")
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    made.database.terminate()

    async def reads() -> bool:
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            made.database = await asyncpg.connect(made.runtime["database_url"])
            return await completed(made) >= 0
        return False

    await until(reads, 60)
    return time.monotonic() - killed_at


async def recoveries(kills: int) -> list[float]:
    """The seconds of so many kills of PostgreSQL while approvals come in."""
    async with running(workers=WORKERS, environment=SLOW_TASKS) as made:
        plans = [await made.pending_plan() for _ in range(APPROVALS)]
        approving = asyncio.create_task(approve_all(made, plans))
        found: list[float] = []
        for number in range(kills):

            async def so_many(share: int = (number + 1) * APPROVALS // (kills + 2)) -> bool:
                return await completed(made) >= share

            await until(so_many, 120)
            found.append(await ready_again(made))
        await approving
        await check_all_ended(made, plans, 120)
        return found


def show(name: str, seconds: list[float]) -> bool:
    """Print a line of figures; whether the 99th percentile is within five seconds."""
    seconds = sorted(seconds)
    p99 = seconds[min(len(seconds) - 1, round(0.99 * len(seconds)))]
    figures = {"min": seconds[0], "p50": statistics.median(seconds), "p99": p99, "max": seconds[-1]}
    told = {"kills": len(seconds), **{key: round(value, 2) for key, value in figures.items()}}
    sys.stdout.write(json.dumps({name: told}) + "\n")
    sys.stdout.flush()
    return p99 <= SECONDS_MAX


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="figures")
    parser.add_argument("--takeovers", type=int, default=50, help="kills of workers")
    parser.add_argument("--recoveries", type=int, default=10, help="kills of PostgreSQL")
    asked = parser.parse_args()
    good = [
        show("takeovers, seconds", asyncio.run(takeovers(asked.takeovers))),
        show("PostgreSQL ready again, seconds", asyncio.run(recoveries(asked.recoveries))),
    ]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()

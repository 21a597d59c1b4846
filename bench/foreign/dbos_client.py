"""DBOS: workflows of four steps, started in the process that runs them. Run by the interpreter that has the package."""

import argparse
from typing import Any

import uvloop
from closed_loop import ClosedLoop, text
from dbos import DBOS, DBOSConfig


class NoneLeft(Exception):
    """The third step fails for good."""


async def nothing(value: dict[str, str]) -> dict[str, str]:
    """Do nothing."""
    return value


async def fail(value: dict[str, str]) -> dict[str, str]:
    """Fail for good."""
    raise NoneLeft("there is none left")


async def give_back(value: dict[str, str]) -> None:
    """Do nothing."""


first, second, third, fourth = (DBOS.step(name=name)(nothing) for name in ("first", "second", "third", "fourth"))
failing = DBOS.step(name="failing")(fail)
undo_first, undo_second = (DBOS.step(name=name)(give_back) for name in ("undo_first", "undo_second"))


@DBOS.workflow(name="forward")
async def forward(request: dict[str, str]) -> dict[str, str]:
    """Four steps."""
    return await fourth(await third(await second(await first(request))))


@DBOS.workflow(name="compensating")
async def compensating(request: dict[str, str]) -> str:
    """Two steps; the third fails, and both are undone."""
    taken = await first(request)
    more = await second(taken)
    try:
        await failing(more)
    except NoneLeft:
        await undo_second(more)
        await undo_first(taken)
    return "compensated"


async def main() -> None:
    """Measure, as the harness says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--warm", type=float, required=True)
    parser.add_argument("--payload", type=int, required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--pool", type=int, required=True)
    asked = parser.parse_args()
    config: DBOSConfig = {
        "name": "bench", "system_database_url": asked.database, "sys_db_pool_size": asked.pool,
        "console_log_level": "ERROR", "log_level": "ERROR", "enable_otlp": False,
    }  # fmt: skip
    DBOS(config=config)
    DBOS.launch()
    workflow: Any = forward if asked.workload == "forward" else compensating

    async def once() -> tuple[float | None, bool]:
        given = {"text": text(asked.payload)}
        handle = await DBOS.start_workflow_async(workflow, given)
        return None, await handle.get_result() == (given if asked.workload == "forward" else "compensated")

    await ClosedLoop(asked.window, asked.warm).run(once)
    DBOS.destroy()


uvloop.run(main())

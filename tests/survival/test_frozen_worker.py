"""A worker that is frozen in the middle of a step and goes on later: no effect outside is left without its record."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.damage import folder, let_pass
from tests.acceptance.running import Running, until

__all__ = ["folder"]
LEASE_SECONDS = 4
MODULE = '''
"""Books in a ledger outside: a file of lines, one for each effect."""

from asyncio import sleep
from pathlib import Path

from pydantic import BaseModel

from amends import Context, Permanent, Retry, Saga

LEDGER = Path(__file__).with_name("ledger")


class Order(BaseModel):
    fails: bool


def write(line: str) -> None:
    with LEDGER.open("a") as file:
        file.write(line + "\\n")


order = Saga("order", input=Order)


@order.step("booking", timeout=30, retry=Retry(delays=[]))
async def book(request: Order, context: Context) -> int:
    if context.attempt == 1:
        await sleep(2)
    elif request.fails:
        raise Permanent("no room")
    write(f"book {context.step_key}")
    return context.attempt


@book.undo
async def cancel(result: int | None, context: Context) -> None:
    write(f"cancel {context.step_key}")
'''


def booked(folder: Path, saga_id: str) -> bool:
    """Whether the last line about the saga is a booking."""
    ledger = folder / "ledger"
    lines = [line for line in (ledger.read_text() if ledger.exists() else "").splitlines() if saga_id in line]
    return bool(lines) and lines[-1].startswith("book")


@pytest.mark.timeout(150)
@pytest.mark.parametrize("fails", [False, True], ids=["another attempt succeeds", "the step fails for good"])
async def test_what_a_frozen_worker_does_later_is_recorded_or_undone(folder: Path, fails: bool) -> None:
    (folder / "ledger_saga.py").write_text(MODULE)
    async with Running(folder, workers=2, sagas="ledger_saga") as made:
        _, begun = await made.call("POST", "/api/sagas", json={"definition": "order", "input": {"fails": fails}})
        saga_id = begun["sagaId"]

        async def started() -> Any:
            return await made.database.fetchval(
                "SELECT event_data::text FROM amends.workflow_events "
                "WHERE workflow_id = $1 AND event_type = 'StepStarted'",
                saga_id,
            )

        worker = json.loads(await until(started, 20))["worker"]
        pid = int(worker.partition("/")[2].partition("-")[0])
        os.kill(pid, signal.SIGSTOP)
        await let_pass(3 * LEASE_SECONDS)
        os.kill(pid, signal.SIGCONT)

        async def ended() -> Any:
            found = await made.saga(saga_id)
            return found if found["status"] in ("completed", "compensated") and not found["waits"] else None

        found = await until(ended, 60)
        assert found["status"] == ("compensated" if fails else "completed")

        async def agrees() -> bool:
            again = await made.saga(saga_id)
            return booked(folder, saga_id) == (again["status"] == "completed") and not again["waits"]

        await let_pass(2)  # whatever comes late has come by now
        await until(agrees, 40)
        made.check_invariants()

"""A ledger outside of Amends: each execution of a handler writes a line when it begins, and one when it has ended.

Events cannot tell whether a step ran twice: of an outcome that was lost there is none. The ledger can.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.running import Running

SAGAS = "marketplace,walk_saga"
MODULE = '''
"""Three steps one after the other, each of which writes down that it begins and that it ends."""

from asyncio import sleep
from pathlib import Path

from pydantic import BaseModel

from amends import Context, Saga

LEDGER = Path(__file__).with_name("walks")


class Walk(BaseModel):
    number: int


def write(*words: object) -> None:
    with LEDGER.open("a") as file:
        file.write(" ".join(map(str, words)) + "\\n")


async def go(context: Context) -> int:
    write("begin", context.step_key, context.attempt)
    await sleep(0.2)
    write("end", context.step_key, context.attempt)
    return context.attempt


walk = Saga("walk", input=Walk)


@walk.step("first")
async def first(request: Walk, context: Context) -> int:
    return await go(context)


@walk.step("second")
async def second(first: int, context: Context) -> int:
    return await go(context)


@walk.step("third")
async def third(second: int, context: Context) -> int:
    return await go(context)
'''


def prepare(folder: Path) -> None:
    """Put the saga where `amends up` finds it."""
    (folder / "walk_saga.py").write_text(MODULE)


async def start_all(made: Running, count: int) -> None:
    """Start so many walks, a few at a time."""
    gate = asyncio.Semaphore(10)

    async def one(number: int) -> None:
        async with gate:
            body = {"definition": "walk", "input": {"number": number}, "key": f"walk-{number}"}
            status, found = await made.call("POST", "/api/sagas", json=body)
            assert status in (200, 201), found

    await asyncio.gather(*(one(number) for number in range(count)))


def check(lines: Sequence[str], walks: int) -> None:
    """Each step ran to its end once, and no attempt was executed twice; attempts that were cut off may be many."""
    begun: set[tuple[str, str]] = set()
    ended: set[str] = set()
    for line in lines:
        what, step, attempt = line.split()
        assert step not in ended, f"{step} ran to its end, and then again"
        if what == "begin":
            assert (step, attempt) not in begun, f"attempt {attempt} of {step} was executed twice"
            begun.add((step, attempt))
        else:
            ended.add(step)
    assert len(ended) == 3 * walks, f"{len(ended)} of {3 * walks} steps ended"


def read(folder: Path) -> list[str]:
    """What stands in the ledger."""
    return (folder / "walks").read_text().splitlines()

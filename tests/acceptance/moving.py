"""A saga from a file outside this repository, which uses the whole language."""

MODULE = '''
"""A move: pack, ask, wait, let a firm carry, settle. Files beside this one say what goes wrong."""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from amends import CannotTell, DidNotHappen, Happened, Permanent, Retry, Saga

HERE = Path(__file__).parent


class Move(BaseModel):
    name: str
    boxes: int = 3


class Yes(BaseModel):
    by: str


class Load(BaseModel):
    name: str
    boxes: int


class Receipt(BaseModel):
    number: int


def note(line: str) -> None:
    with (HERE / "notes").open("a") as file:
        file.write(line + "\\n")


def wrong(name: str) -> bool:
    return (HERE / name).exists()


carrying = Saga("carrying", input=Load, result=Receipt)


@carrying.step("van")
async def rent(load: Load) -> int:
    if wrong("no-van"):
        raise Permanent("no van")
    note(f"rent {load.name}")
    return load.boxes


@rent.undo(retry=Retry(delays=[0.1]))
async def give_back(load: Load) -> None:
    if wrong("no-return"):
        raise Permanent("nobody takes the van back")
    note(f"give back {load.name}")


@carrying.step("receipt")
async def carry(load: Load, van: int) -> Receipt:
    while wrong("jam"):
        await asyncio.sleep(0.02)
    return Receipt(number=van)


move = Saga("move", input=Move)


@move.step("load", retry=Retry(delays=[60]))
async def pack(move: Move) -> Load:
    note(f"pack {move.name}")
    return Load(name=move.name, boxes=move.boxes)


@pack.undo
async def unpack(move: Move) -> None:
    note(f"unpack {move.name}")


agreed = move.wait("agreed", model=Yes, timeout=3600, on_timeout="compensate", after=[pack])
breath = move.sleep("breath", 0.5, after=[agreed])


@move.step("checked", after=[breath])
async def check(load: Load) -> Load:
    return load


carried = move.start("carried", carrying, input="checked")


@move.step("settled", pivot=True, timeout=1, retry=Retry(delays=[]))
async def settle(move: Move, carried: Receipt, agreed: Yes) -> int:
    if wrong("no-settling"):
        raise Permanent("not settled")
    if wrong("vague"):
        raise RuntimeError("the line went dead")
    return carried.number


@settle.probe
async def find(move: Move) -> Happened[int] | DidNotHappen | CannotTell:
    return CannotTell("nobody knows") if wrong("mute") else Happened(7)


@move.step("told", retry=Retry(delays=[]))
async def tell(move: Move, settled: int) -> None:
    if wrong("no-telling"):
        raise Permanent("no address")
    note(f"told {move.name} {settled}")
'''

"""More sagas for the file outside this repository: more steps than a worker has slots, and one that falls silent."""

MODULE = """

import asyncio

from amends import Context


class Crowd(BaseModel):
    name: str
    heads: list[int]


rush = Saga("rush", input=Crowd)


@rush.step("rope")
async def tie(crowd: Crowd) -> int:
    return len(crowd.heads)


@tie.undo
async def untie(crowd: Crowd) -> None:
    note(f"untie {crowd.name}")


@rush.step("pushed", each="input.heads", priority="high", timeout=60, after=[tie])
async def push(item: int, crowd: Crowd) -> None:
    while wrong("no-way"):
        await asyncio.sleep(0.02)
    note(f"push {crowd.name}")


@rush.step("waited", priority="low", after=[tie])
async def wait(crowd: Crowd) -> None:
    note(f"wait {crowd.name}")


@rush.step("hurried", schedule_timeout=1, after=[tie])
async def hurry(crowd: Crowd) -> None:
    note(f"hurry {crowd.name}")


watch = Saga("watch", input=Move)


@watch.step("watched", heartbeat_timeout=1, timeout=60, retry=Retry(delays=[]))
async def look(move: Move, context: Context) -> None:
    for _ in range(5):
        await asyncio.sleep(0.3)
        await context.heartbeat()
    note(f"look {move.name}")
    await asyncio.Event().wait()
"""

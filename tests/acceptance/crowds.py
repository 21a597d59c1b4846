"""More sagas for the file outside this repository: crowded ones, one that falls silent, and some that keep the hour."""

MODULE = """

from datetime import datetime

from amends import Context, Given


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


class Feast(BaseModel):
    name: str
    guests: list[str]
    begins: datetime


feast = Saga("feast", input=Feast)


@feast.step("invited", each="input.guests", concurrency=2, item_failure="leave_out", retry=Retry(delays=[]))
async def invite(item: str) -> str:
    if item in ("far", "nobody"):
        raise Permanent("it is too far")
    return item


@invite.fallback
async def phone(item: str) -> str:
    if item == "nobody":
        raise Permanent("no number")
    return f"{item} by phone"


hour = feast.sleep_until("hour", "input.begins", after=[invite])


@feast.step("served", after=[hour])
async def serve(feast: Feast, invited: list[Given[str | None]]) -> None:
    told = [f"{one.value or 'nobody at all'}{f' since {one.reason}' if one.fallback else ''}" for one in invited]
    note(f"serve {feast.name} " + ", ".join(told))


vigil = Saga("vigil", input=Feast, deadline=1)


@vigil.step("candle")
async def light(feast: Feast) -> None:
    note(f"light {feast.name}")


@light.undo
async def put_out(feast: Feast) -> None:
    note(f"put out {feast.name}")


morning = vigil.sleep_until("morning", "input.begins", after=[light])
"""

"""One more saga for the file outside this repository: it hangs, is answered by nobody, or one of its items fails."""

MODULE = """

camp = Saga("camp", input=Crowd)


@camp.step("pitched", retry=Retry(delays=[]))
async def pitch(crowd: Crowd) -> int:
    note(f"pitch {crowd.name}")
    return len(crowd.heads)


@pitch.undo
async def strike(crowd: Crowd, result: int | None) -> None:
    note(f"strike {crowd.name}")


@camp.step("called", timeout=1, retry=Retry(delays=[]), after=[pitch])
async def call(crowd: Crowd) -> None:
    note(f"call {crowd.name}")
    while wrong("dead-line"):
        await asyncio.sleep(60)


@call.undo
async def hang_up(crowd: Crowd) -> None:
    note(f"hang up {crowd.name}")


answer = camp.wait("answer", model=Yes, timeout=1, on_timeout="compensate", after=[call])


@camp.step("counted", each="input.heads", retry=Retry(delays=[]), after=[answer])
async def count(item: int, crowd: Crowd) -> None:
    if item == 13:
        raise Permanent("nobody counts that")
    note(f"count {crowd.name}")


@count.undo
async def forget(item: int, crowd: Crowd) -> None:
    note(f"forget {crowd.name}")


@camp.step("lit", pivot=True, after=[count])
async def light_fire(crowd: Crowd) -> None:
    note(f"light {crowd.name}")
"""

"""One more saga for the file outside this repository: it may be found at any place, and asks its operator twice."""

MODULE = """

errand = Saga("errand", input=Move, result=Receipt)


@errand.step("ticket")
async def draw(move: Move) -> int:
    while wrong("shut"):
        await asyncio.sleep(0.02)
    note(f"draw {move.name}")
    return 12


@draw.undo(retry=Retry(delays=[]))
async def hand_back(move: Move) -> None:
    if wrong("no-refund"):
        raise Permanent("nobody takes tickets back")
    note(f"hand back {move.name}")


papers = errand.wait("papers", model=Yes, timeout=3600, on_timeout="compensate", after=[draw])


@errand.step("paid", pivot=True, timeout=0.5, retry=Retry(delays=[]))
async def pay(move: Move, papers: Yes) -> Receipt:
    if wrong("dead-line"):
        raise RuntimeError("the line went dead")
    note(f"pay {move.name} for {move.boxes}")
    return Receipt(number=1)


@errand.step("filed")
async def file(move: Move, paid: Receipt) -> None:
    note(f"file {move.name} as {paid.number}")
"""

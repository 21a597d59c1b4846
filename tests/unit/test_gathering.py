"""What is asked while a commit runs is done together by the next, and each caller has its own answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from eventstore import gathering as module
from eventstore.gathering import Asked, Gathering


class Desk:
    """Answers each word with itself in capitals, once its gate is open; notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gathering = Gathering(self.work)

    async def work(self, batch: list[Asked[str, str]]) -> None:
        """A batch; the word `broken` fails it."""
        self.batches.append([word for asked in batch for word in asked.words])
        await self.gate.wait()
        if "broken" in self.batches[-1]:
            raise ValueError("broken")
        for asked in batch:
            asked.answer([word.upper() for word in asked.words])

    async def asked(self, *callers: Sequence[str], size: int = 0) -> list[Any]:
        """What callers are told that come one after the other, while the first is being served."""
        tasks: list[asyncio.Task[list[str]]] = []
        for words in callers:
            tasks.append(asyncio.create_task(self.gathering.ask(words, size)))
            await passed()
        self.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)


async def passed() -> None:
    """Let everything happen that can."""
    for _ in range(5):
        await LoopClock().sleep(0)


def test_who_comes_first_is_served_at_once_and_the_rest_together_in_their_order() -> None:
    async def drive() -> None:
        desk = Desk()
        assert await desk.asked(["a"], ["b"], ["c", "d"], ["e"]) == [["A"], ["B"], ["C", "D"], ["E"]]
        assert desk.batches == [["a"], ["b", "c", "d", "e"]]
        assert await desk.gathering.ask(["f"]) == ["F"]
        assert asyncio.get_running_loop().time() == 0.0, "nothing lingers"

    run_virtual(drive)


def test_a_batch_is_bounded_in_words_and_bytes_and_divides_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "BATCH_BYTES", 10)

    async def drive() -> None:
        desk = Desk()
        await desk.asked(["a"], ["b"], ["c"], ["d"], ["e", "f", "g"])
        assert desk.batches == [["a"], ["b", "c"], ["d"], ["e", "f", "g"]]
        desk = Desk()
        await desk.asked(["a"], ["b"], ["c"], size=6)
        assert desk.batches == [["a"], ["b"], ["c"]]

    run_virtual(drive)


def test_what_fails_is_told_to_all_of_its_batch_and_to_nobody_else() -> None:
    async def drive() -> None:
        desk = Desk()
        told = await desk.asked(["a"], ["b"], ["broken"])
        assert told[0] == ["A"]
        assert [str(error) for error in told[1:]] == ["broken", "broken"]
        assert await desk.gathering.ask(["c"]) == ["C"]

    run_virtual(drive)


def test_a_caller_that_leaves_leaves_the_others_alone() -> None:
    async def drive() -> None:
        desk = Desk()
        serving, waiting, other = (asyncio.create_task(desk.gathering.ask([word])) for word in "abc")
        await passed()
        serving.cancel()
        waiting.cancel()
        await asyncio.wait([serving, waiting])
        desk.gate.set()
        assert await other == ["C"]
        assert desk.batches == [["a", "b", "c"]], "what is begun is done"
        desk.gate.clear()
        serving, waiting, other = (asyncio.create_task(desk.gathering.ask([word])) for word in "def")
        await passed()
        late = asyncio.create_task(desk.gathering.ask(["g"]))
        await passed()
        late.cancel()
        await asyncio.wait([late])
        desk.gate.set()
        assert [*await serving, *await waiting, *await other] == ["D", "E", "F"]
        await desk.gathering.finish()
        assert desk.batches[1:] == [["d", "e", "f"]], "what nobody waits for any more is not begun"

    run_virtual(drive)


def test_a_batch_that_takes_long_does_not_hold_the_next() -> None:
    async def drive() -> None:
        desk = Desk()
        slow = asyncio.create_task(desk.gathering.ask(["slow"]))
        await passed()
        other = asyncio.create_task(desk.gathering.ask(["other"]))
        await asyncio.wait([slow, other], timeout=module.PATIENCE_SECONDS * 2)
        assert desk.batches == [["slow"], ["other"]]
        desk.gate.set()
        assert [*await slow, *await other] == ["SLOW", "OTHER"]

    run_virtual(drive)

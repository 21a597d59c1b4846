"""Batches that are applied while the next is read."""

import asyncio

import pytest

from amends.clock import LoopClock
from orchestrator.overlap import Overlap


class Work:
    """A batch that ends when it is told, and fails if it is to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = False
        self._error = error
        self._gate = asyncio.Event()

    async def run(self) -> None:
        self.begun = True
        await self._gate.wait()
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        self._gate.set()


async def passed() -> None:
    for _ in range(10):
        await LoopClock().sleep(0)


async def test_a_second_batch_begins_beside_the_first_and_a_third_waits() -> None:
    overlap, works = Overlap(2), [Work(), Work(), Work()]
    await overlap.add({"a"}, works[0].run())
    await overlap.add({"b"}, works[1].run())
    third = asyncio.create_task(overlap.add({"c"}, works[2].run()))
    await passed()
    assert [work.begun for work in works] == [True, True, False]
    works[1].end()
    await third
    await passed()
    assert works[2].begun
    for work in works:
        work.end()
    await overlap.over()
    assert not overlap.busy


async def test_no_saga_is_in_two_batches() -> None:
    overlap, first, second = Overlap(2), Work(), Work()
    await overlap.add({"a", "b"}, first.run())
    waiting = asyncio.create_task(overlap.add({"b", "c"}, second.run()))
    await passed()
    assert not second.begun
    first.end()
    await waiting
    second.end()
    await overlap.over()


async def test_a_batch_that_fails_is_told_to_who_adds_the_next_which_is_not_begun() -> None:
    overlap, first, second = Overlap(1), Work(ConnectionResetError("gone")), Work()
    await overlap.add({"a"}, first.run())
    first.end()
    with pytest.raises(ConnectionResetError, match="gone"):
        await overlap.add({"b"}, second.run())
    assert not second.begun
    assert not overlap.busy


async def test_batches_that_are_abandoned_are_waited_for_and_raise_nothing() -> None:
    overlap, first, second = Overlap(2), Work(ConnectionResetError("gone")), Work()
    await overlap.add({"a"}, first.run())
    await overlap.add({"b"}, second.run())
    first.end()
    abandoning = asyncio.create_task(overlap.abandoned())
    await passed()
    assert not abandoning.done()
    second.end()
    await abandoning
    assert not overlap.busy

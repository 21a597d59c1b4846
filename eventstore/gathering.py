"""Commits are shared: what is asked while one runs is done together by the next (design sections 5 and 12).

No linger: whoever comes first is served at once, and the others gather meanwhile by themselves.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

W = TypeVar("W")
A = TypeVar("A")

BATCH = 64
"""Larger ones save little, and whoever is to go on with them has nothing to do meanwhile, and all at once then."""
BESIDE = 2
BATCH_BYTES = 8 * 1024 * 1024
PATIENCE_SECONDS = 0.25


@dataclass(slots=True, eq=False)
class Asked(Generic[W, A]):
    """What one caller asks, of `size` bytes, and the answers that it waits for: one for each word."""

    words: Sequence[W]
    size: int
    answers: asyncio.Future[list[A]]

    def is_over(self) -> bool:
        """Whether it has its answers, or its caller has left."""
        return self.answers.done()

    def answer(self, told: list[A]) -> None:
        """Give the caller its answers, if it is still there and has none."""
        if not self.answers.done():
            self.answers.set_result(told)

    def fail(self, error: Exception) -> None:
        """Raise this in the caller, if it is still there and has no answer."""
        if not self.answers.done():
            self.answers.set_exception(error)


class Gathering(Generic[W, A]):
    """Takes batches of what callers ask to `work`, which gives each its answers, or leaves that to somebody else.

    What `work` raises is raised in all of its batch that have no answers yet. One batch runs at a time, and a second
    beside it that is full; of one that takes longer than `PATIENCE_SECONDS` the next is independent.
    """

    def __init__(self, work: Callable[[list[Asked[W, A]]], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._queue: deque[Asked[W, A]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._batches: set[asyncio.Task[None]] = set()

    async def ask(self, words: Sequence[W], size: int = 0) -> list[A]:
        """Have something done together with what others ask; an answer for each word.

        A caller that is cancelled before its batch begins has asked nothing; later that makes no difference to it.

        Raises:
            Exception: what `work` raised.
        """
        asked: Asked[W, A] = Asked(words, size, asyncio.get_running_loop().create_future())
        self._queue.append(asked)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await asked.answers

    async def finish(self) -> None:
        """Wait for what is being done."""
        while self._batches:
            await asyncio.wait(self._batches)

    async def _run(self) -> None:
        while batch := self._next():
            running = asyncio.create_task(self._done(batch))
            self._batches.add(running)
            running.add_done_callback(self._batches.discard)
            if sum(len(asked.words) for asked in self._queue) < BATCH or len(self._batches) >= BESIDE:
                await asyncio.wait(self._batches, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)

    def _next(self) -> list[Asked[W, A]]:
        """What has gathered, up to the limits: what one caller asks is never divided, whatever its size."""
        batch: list[Asked[W, A]] = []
        words = size = 0
        while self._queue:
            asked = self._queue[0]
            if not asked.is_over():
                words += len(asked.words)
                size += asked.size
                if batch and (words > BATCH or size > BATCH_BYTES):
                    break
                batch.append(asked)
            self._queue.popleft()
        return batch

    async def _done(self, batch: list[Asked[W, A]]) -> None:
        try:
            await self._work(batch)
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            for asked in batch:
                asked.fail(error)
        except asyncio.CancelledError:
            for asked in batch:
                asked.answers.cancel()
            raise

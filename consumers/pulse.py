"""Heartbeats: a handler that has not said for too long that it is alive is cancelled. All within its worker."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Pulse:
    """When one attempt gave its last sign of life; `seconds` is how long it may be silent, or None for ever."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._loop = asyncio.get_running_loop() if seconds is not None else None
        self._at = 0.0
        self._limit: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None

    def beat(self) -> None:
        """A sign of life; a thread may give it too, and any number of them."""
        if self._loop is not None:
            self._at = self._loop.time()

    @property
    def stopped(self) -> bool:
        """Whether the attempt was cancelled, since it was silent for too long."""
        return self._limit is not None and self._limit.expired()

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None]:
        """Cancel the block once it is silent for too long.

        Raises:
            TimeoutError: it was.
        """
        if self.seconds is None:
            yield
            return
        self.beat()
        try:
            async with asyncio.timeout(None) as self._limit:
                self.look()
                yield
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def look(self) -> None:
        """End the attempt, or look again when its time would be over."""
        assert self._limit is not None
        assert self._loop is not None
        assert self.seconds is not None
        until = self._at + self.seconds
        if until <= self._loop.time():
            self._limit.reschedule(until)
        else:
            self._timer = self._loop.call_at(until, self.look)

"""Closed-loop clients: each starts a saga, waits for its end, and starts the next. The same for every system.

It talks with the harness in lines: it says `ready` and is told `begin`; says `warm` once as many sagas have ended as
there are clients and the warm-up is over, and is told `measure`, then `stop`; lets what is in flight end, and writes
what it measured as JSON. This file needs nothing but the standard library: clients of other systems load it too.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable

Once = Callable[[], Awaitable[tuple[float | None, bool]]]
"""One saga: the instant at which it was accepted (`time.perf_counter`), if that is known, and whether it ended as it
should."""


class ClosedLoop:
    """`window` clients, so that as many sagas are in flight."""

    def __init__(self, window: int, warm_seconds: float) -> None:
        self._window = window
        self._warm_seconds = warm_seconds
        self._latencies: list[float] = []
        self._accepted: list[float] = []
        self._finished = 0
        self._wrong = 0
        self._stopping = False
        self._warm = asyncio.Event()

    async def run(self, once: Once) -> None:
        """Drive until the harness says stop."""
        await self._told("ready", "begin")
        clients = [asyncio.create_task(self._client(once)) for _ in range(self._window)]
        warming = asyncio.create_task(self._warmed())
        await asyncio.wait([warming, *clients], return_when=asyncio.FIRST_COMPLETED)
        if any(client.done() for client in clients):  # none ends by itself: it failed
            for task in (warming, *clients):
                task.cancel()
            await asyncio.wait([warming, *clients])
            next(client for client in clients if not client.cancelled()).result()
        await self._told("warm", "measure")
        began, self._latencies, self._accepted = time.perf_counter(), [], []
        await self._told("measuring", "stop")
        found = {
            "seconds": time.perf_counter() - began,
            "latencies": [round(one * 1000, 3) for one in self._latencies],
            "accepted": [round(one * 1000, 3) for one in self._accepted],
        }
        self._stopping = True
        await asyncio.gather(*clients)
        say(json.dumps({**found, "finished": self._finished, "wrong": self._wrong}))

    async def _warmed(self) -> None:
        await asyncio.sleep(self._warm_seconds)
        await self._warm.wait()

    async def _client(self, once: Once) -> None:
        while not self._stopping:
            began = time.perf_counter()
            accepted, well = await once()
            self._latencies.append(time.perf_counter() - began)
            if accepted is not None:
                self._accepted.append(accepted - began)
            self._finished += 1
            self._wrong += not well
            if self._finished >= self._window:
                self._warm.set()

    async def _told(self, word: str, awaited: str) -> None:
        say(word)
        line = await asyncio.to_thread(sys.stdin.readline)
        if line.strip() != awaited:
            raise SystemExit(f"{awaited!r} was expected, not {line!r}")


_numbers = itertools.count()


def text(count: int) -> str:
    """So many bytes, another text each time: a saga takes it along, and each of its steps gives it back."""
    return f"{next(_numbers)}".rjust(count, "x")


def say(line: str) -> None:
    """Tell the harness."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

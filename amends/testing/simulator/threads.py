"""The threads of a simulated worker: functions in them go on when nobody waits for them any more (rule L3)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any


class Threads:
    """So many threads. What stands in for a plain function gives a coroutine, which runs as its thread would."""

    def __init__(self, count: int, mark: Callable[[str], None]) -> None:
        self._free = asyncio.Semaphore(count)
        self._mark = mark

    async def run(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Run a function once a thread is free."""
        if self._free.locked():
            self._mark("a function waits for a thread")
        async with self._free:
            self._mark("a function runs in a thread")
            return await function(**arguments)

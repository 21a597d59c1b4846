"""The clock of an event loop: real in a service, virtual in tests."""

import asyncio


class LoopClock:
    """Time as the running event loop has it."""

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

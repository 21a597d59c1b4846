"""Batches that are applied while the next is read: a commit waits for the disk, and another batch is decided meanwhile.

No saga is in two of them, so neither loses a race to the other.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

log = logging.getLogger("amends.orchestrator")


class Overlap:
    """Up to `most` batches under way at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: dict[asyncio.Task[None], frozenset[str]] = {}

    @property
    def busy(self) -> bool:
        """Whether any is under way, or has ended and nobody has looked how."""
        return bool(self._under_way)

    async def add(self, saga_ids: Iterable[str], work: Coroutine[Any, Any, None]) -> None:
        """Begin a batch about these sagas, once there is room and none of them is in another.

        Raises:
            Exception: what an earlier batch failed of; this one was not begun.
        """
        mine = frozenset(saga_ids)
        try:
            while len(self._under_way) >= self._most or any(mine & others for others in self._under_way.values()):
                await self._one()
        except BaseException:
            work.close()
            raise
        self._under_way[asyncio.create_task(work)] = mine

    async def over(self) -> None:
        """Wait until none is under way.

        Raises:
            Exception: what one of them failed of; others may be under way still.
        """
        while self._under_way:
            await self._one()

    async def abandoned(self) -> None:
        """Wait until none is under way. What they fail of is not raised: what was not applied is read again."""
        left = list(self._under_way)
        if left:
            await asyncio.wait(left)
        for task in left:
            del self._under_way[task]
            if not task.cancelled() and (loss := task.exception()) is not None:
                log.warning("another batch failed: %r", loss)

    async def _one(self) -> None:
        done, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._under_way[task]
        losses = [loss for task in done if (loss := task.exception()) is not None]
        for loss in losses[1:]:
            log.warning("another batch failed: %r", loss)
        if losses:
            raise losses[0]

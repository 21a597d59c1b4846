"""The projector: fills the projections from the feed, each in transactions of its own."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import asyncpg

from eventstore.feed import BATCH
from eventstore.postgres import reachable
from eventstore.projections import NewerVersion, Projection, advance
from sagas.ports import Clock, StoreUnavailable

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

log = logging.getLogger("amends.projector")

PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 2.0
RETRY_SECONDS = 5.0


class Projector:
    """One projector; of several each projection has one at a time that fills it."""

    def __init__(self, pool: "Pool", projections: Sequence[Projection], clock: Clock) -> None:
        self._pool = pool
        self._projections = projections
        self._clock = clock
        self._resting: dict[str, float] = {}
        self._stopping = False

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stopping = True

    async def run(self) -> None:
        """Fill for as long as the process lives; while nothing happens, look every two seconds."""
        pause = PAUSE_SECONDS_MIN
        while not self._stopping:
            pause = PAUSE_SECONDS_MIN if await self.run_once() else min(pause * 2, PAUSE_SECONDS_MAX)
            await self._clock.sleep(pause)

    async def run_once(self) -> int:
        """Fill every projection as far as the feed goes; how many events there were."""
        return sum([await self._fill(projection) for projection in self._projections])

    async def _fill(self, projection: Projection) -> int:
        """One that fails rests for a while and does not hold the others; its cursor stays where it was."""
        if self._clock.monotonic() < self._resting.get(projection.name, 0.0):
            return 0
        applied = 0
        try:
            while not self._stopping:
                async with reachable():
                    applied += (count := await advance(self._pool, projection))
                if count < BATCH:
                    break
        except (StoreUnavailable, asyncpg.PostgresError, NewerVersion) as trouble:
            log.error("projection %s stands still: %s", projection.name, trouble)
            self._resting[projection.name] = self._clock.monotonic() + RETRY_SECONDS
        return applied

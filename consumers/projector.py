"""The projector: fills the projections from the feed, each in transactions of its own."""

import logging
from collections.abc import Sequence

import asyncpg

from eventstore.feed import BATCH
from eventstore.postgres import PostgresStore, reachable
from eventstore.projections import NewerVersion, Projection, advance, behind
from sagas.ports import Clock, StoreUnavailable

log = logging.getLogger("amends.projector")

PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 4.0
RETRY_SECONDS = 5.0
TROUBLE = (StoreUnavailable, asyncpg.PostgresError, NewerVersion)


class Projector:
    """One projector; of several each projection has one at a time that fills it."""

    def __init__(self, store: PostgresStore, projections: Sequence[Projection], clock: Clock) -> None:
        self._store = store
        self._projections = projections
        self._clock = clock
        self._resting: dict[str, float] = {}
        self._stopping = False

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stopping = True

    async def run(self) -> None:
        """Fill for as long as the process lives; while nothing happens, look every four seconds."""
        pause = PAUSE_SECONDS_MIN
        while not self._stopping:
            pause = PAUSE_SECONDS_MIN if await self.run_once() else min(pause * 2, PAUSE_SECONDS_MAX)
            await self._clock.sleep(pause)

    async def run_once(self) -> int:
        """Fill every projection as far as the feed goes; how many events there were."""
        awake = [one for one in self._projections if self._clock.monotonic() >= self._resting.get(one.name, 0.0)]
        if not awake:
            return 0
        try:
            async with reachable():
                names = await behind(self._store.asking, awake)
        except TROUBLE as trouble:
            self._rest(awake, trouble)
            return 0
        return sum([await self._fill(projection) for projection in awake if projection.name in names])

    async def _fill(self, projection: Projection) -> int:
        """One that fails rests for a while and does not hold the others; its cursor stays where it was."""
        applied = 0
        try:
            while not self._stopping:
                async with reachable():
                    applied += (count := await advance(self._store.pool, projection))
                if count < BATCH:
                    break
        except TROUBLE as trouble:
            self._rest([projection], trouble)
        return applied

    def _rest(self, projections: Sequence[Projection], trouble: Exception) -> None:
        for projection in projections:
            log.error("projection %s stands still: %s", projection.name, trouble)
            self._resting[projection.name] = self._clock.monotonic() + RETRY_SECONDS

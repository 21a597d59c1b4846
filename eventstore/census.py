"""How many sagas there are, and how many of their waits are open: one query each."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from eventstore.postgres import reachable
from sagas.ports import StoreUnavailable
from sagas.records import record

SAGAS = "SELECT status, count(*) AS number FROM amends.sagas GROUP BY status"
WAITS = """
SELECT 'wait' AS what, kind AS name, count(*) AS number FROM amends.waits GROUP BY kind
UNION ALL SELECT 'job', '', count(*) FROM amends.job_queue
"""

OPEN = "SELECT count(*) FROM amends.sagas WHERE definition = $1 AND status NOT IN ('completed', 'compensated')"
CONNECT_SECONDS = 2.0
COUNT_SECONDS_MAX, FRESH_SECONDS, SHARE = 60.0, 0.2, 0.01


@record
class Census:
    """Sagas by their status, open waits by their kind, and jobs that are out or to be tried again."""

    sagas: dict[str, int]
    waits: dict[str, int]
    pending_jobs: int


async def count_sagas(pool: "asyncpg.Pool[asyncpg.Record]") -> dict[str, int]:
    """Sagas by their status. It reads all heads: a million take seconds.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with reachable():
        rows = await pool.fetch(SAGAS, timeout=COUNT_SECONDS_MAX)
    return {row["status"]: row["number"] for row in rows}


class Counter:
    """Counts when it is asked. Sagas, of which there may be millions, at a hundredth of a core at most.

    A count that takes long is waited for by the first who asks; the others get the last one, and the next begins when a
    hundred times as long has passed. A quick one is always of now.
    """

    def __init__(self, sagas: Callable[[Any], Awaitable[dict[str, int]]] = count_sagas) -> None:
        self._sagas = sagas
        self._last: dict[str, int] | None = None
        self._again_at = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def count(self, pool: "asyncpg.Pool[asyncpg.Record]") -> Census:
        """Count.

        Raises:
            StoreUnavailable: the database is away, or no count of sagas has ended well.
        """
        async with reachable():
            rows = await pool.fetch(WAITS)
        found: dict[str, dict[str, int]] = {"wait": {}, "job": {}}
        for row in rows:
            found[row["what"]][row["name"]] = row["number"]
        return Census(await self._of_sagas(pool), found["wait"], found["job"].get("", 0))

    async def _of_sagas(self, pool: object) -> dict[str, int]:
        if self._counting is None and time.monotonic() >= self._again_at:
            self._counting = asyncio.create_task(self._count(pool))
        if self._counting is not None:
            await asyncio.wait({self._counting}, timeout=None if self._last is None else FRESH_SECONDS)
        if self._last is None:
            raise StoreUnavailable("sagas could not be counted")
        return self._last

    async def _count(self, pool: object) -> None:
        began = time.monotonic()
        try:
            self._last = await self._sagas(pool)
        except StoreUnavailable:
            self._last = None
        took = time.monotonic() - began
        self._again_at = time.monotonic() + (took / SHARE if took > FRESH_SECONDS else 0.0)
        self._counting = None


async def open_sagas(url: str, definition: str) -> int | None:
    """How many sagas of a definition have not ended; None where no database answers, or it is not Amends'."""
    try:
        async with reachable():
            connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
            try:
                found: int = await connection.fetchval(OPEN, definition)
            finally:
                await connection.close()
    except (StoreUnavailable, asyncpg.UndefinedTableError):
        return None
    return found

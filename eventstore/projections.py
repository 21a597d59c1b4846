"""Projections: tables that are filled from the feed, can be filled anew, and can be checked (design section 3)."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventstore.feed import BATCH, Cursor, FeedEvent, read

if TYPE_CHECKING:
    Pool = Any

log = logging.getLogger("amends.projections")

Apply = Callable[[Any, Sequence[FeedEvent]], Awaitable[None]]
Forget = Callable[[Any, Sequence[str]], Awaitable[None]]
TAKE = """
INSERT INTO amends.feed_cursors (name, version) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING
"""
LOCK = """
SELECT version, epoch, transaction_id::text AS transaction_id, position FROM amends.feed_cursors
WHERE name = $1 FOR UPDATE SKIP LOCKED
"""
BEHIND = """
SELECT asked.name
FROM unnest($1::text[], $2::int[]) AS asked(name, version) LEFT JOIN amends.feed_cursors AS kept USING (name)
WHERE kept.version IS DISTINCT FROM asked.version OR (
    SELECT event.epoch < (SELECT epoch FROM amends.cluster)
        OR event.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
    FROM amends.workflow_events AS event
    WHERE (event.epoch, event.transaction_id, event.position) > (kept.epoch, kept.transaction_id, kept.position)
    ORDER BY event.epoch, event.transaction_id, event.position
    LIMIT 1
)
"""  # ordered, so that the next event is found by its index, however many there are
MOVE = """
UPDATE amends.feed_cursors
SET version = $2, epoch = $3, transaction_id = $4::text::xid8, position = $5, updated_at = clock_timestamp()
WHERE name = $1
"""
CHECKSUM = """
SELECT count(*) AS rows, md5(coalesce(string_agg(line, E'\\n' ORDER BY line), '')) AS sum FROM (LINES) AS lines
"""


class NewerVersion(Exception):
    """A newer version of the code fills the projection, or must: this one leaves alone what it cannot read."""


@dataclass(frozen=True)
class Projection:
    """A table that `apply(connection, events)` fills, and nobody else writes.

    `apply` must give the same rows whenever it is given the same events in the same order, in whatever batches. A new
    `version` empties the table and fills it anew. `table` is its qualified name. `forget(connection, saga_ids)` takes
    the rows of sagas away that go into an archive; without it none goes: the table could not be filled anew.
    """

    name: str
    version: int
    table: str
    apply: Apply
    forget: Forget | None = None


async def behind(pool: "Pool", projections: Sequence[Projection]) -> set[str]:
    """The names of those that `advance` has something to do for; one query for all."""
    rows = await pool.fetch(BEHIND, [one.name for one in projections], [one.version for one in projections])
    return {row["name"] for row in rows}


async def advance(pool: "Pool", projection: Projection, limit: int = BATCH) -> int:
    """Apply the next events, and move the cursor in the same transaction; how many there were.

    0 too when another process holds the projection.

    Raises:
        NewerVersion: it is filled by newer code than this.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(TAKE, projection.name, projection.version)
        row = await connection.fetchrow(LOCK, projection.name)
        if row is None:
            return 0
        cursor = Cursor(row["epoch"], int(row["transaction_id"]), row["position"])
        if row["version"] > projection.version:  # while both run, each would empty it for the other for ever
            raise NewerVersion(f"version {row['version']} fills it, and this code has version {projection.version}")
        if row["version"] != projection.version:
            log.info("projection %s is filled anew: version %d", projection.name, projection.version)
            await connection.execute(f"DELETE FROM {projection.table}")  # noqa: S608 - named in code
            cursor = Cursor()
        events = await read(connection, cursor, limit)
        newer = next((place for place, event in enumerate(events) if event.newer), None)
        if newer == 0:
            raise NewerVersion(f"a newer program wrote the {events[0].type} of saga {events[0].saga_id}")
        events = events[:newer]
        if not events and row["version"] == projection.version:
            return 0
        if events:
            await projection.apply(connection, events)
            cursor = events[-1].cursor
        await _move(connection, projection, cursor)
        return len(events)


async def rebuild(pool: "Pool", projection: Projection) -> None:
    """Empty the table and put the cursor to the beginning; the projector fills it from there.

    It is of this code's version then, also where a newer one had filled it.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(TAKE, projection.name, projection.version)
        await connection.execute("SELECT FROM amends.feed_cursors WHERE name = $1 FOR UPDATE", projection.name)
        await connection.execute(f"DELETE FROM {projection.table}")  # noqa: S608 - named in code
        await _move(connection, projection, Cursor())


async def differs(pool: "Pool", projection: Projection) -> str | None:
    """Whether the table is what the events up to its own cursor give; the two checksums if it is not.

    Fills the table anew in a transaction that is rolled back. The projector waits meanwhile.
    """
    async with pool.acquire() as connection:
        transaction = connection.transaction()  # the lock keeps the projector away, so no snapshot is needed
        await transaction.start()
        try:
            row = await connection.fetchrow(LOCK.replace("SKIP LOCKED", ""), projection.name)
            if row is None or row["version"] != projection.version:
                return None
            end = Cursor(row["epoch"], int(row["transaction_id"]), row["position"])
            kept = await _checksum(connection, projection)
            await connection.execute(f"DELETE FROM {projection.table}")  # noqa: S608 - named in code
            cursor = Cursor()
            while events := [event for event in await read(connection, cursor) if event.cursor <= end]:
                await projection.apply(connection, events)
                cursor = events[-1].cursor
            folded = await _checksum(connection, projection)
            return None if kept == folded else f"the table has {kept}, its events give {folded}"
        finally:
            await transaction.rollback()


async def _move(connection: Any, projection: Projection, cursor: Cursor) -> None:
    await connection.execute(
        MOVE, projection.name, projection.version, cursor.epoch, str(cursor.transaction_id), cursor.position
    )


async def _checksum(connection: Any, projection: Projection) -> str:
    lines = f"SELECT one::text AS line FROM {projection.table} AS one"  # noqa: S608 - named in code
    row = await connection.fetchrow(CHECKSUM.replace("LINES", lines))
    return f"{row['rows']} rows, checksum {row['sum']}"

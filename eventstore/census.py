"""How many sagas there are, and how many of their waits are open: one query each."""

import asyncpg

from eventstore.postgres import reachable
from sagas.ports import StoreUnavailable
from sagas.records import record

COUNT = """
SELECT 'saga' AS what, status AS name, count(*) AS number FROM amends.sagas GROUP BY status
UNION ALL SELECT 'wait', kind, count(*) FROM amends.waits GROUP BY kind
UNION ALL SELECT 'job', '', count(*) FROM amends.job_queue
"""

OPEN = "SELECT count(*) FROM amends.sagas WHERE definition = $1 AND status NOT IN ('completed', 'compensated')"
CONNECT_SECONDS = 2.0


@record
class Census:
    """Sagas by their status, open waits by their kind, and jobs that are out or to be tried again."""

    sagas: dict[str, int]
    waits: dict[str, int]
    pending_jobs: int


async def count(pool: "asyncpg.Pool[asyncpg.Record]") -> Census:
    """Count them.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with reachable():
        rows = await pool.fetch(COUNT)
    found: dict[str, dict[str, int]] = {"saga": {}, "wait": {}, "job": {}}
    for row in rows:
        found[row["what"]][row["name"]] = row["number"]
    return Census(found["saga"], found["wait"], found["job"].get("", 0))


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

"""How many sagas there are, and how many of their waits are open: one query."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventstore.postgres import reachable

if TYPE_CHECKING:
    import asyncpg

COUNT = """
SELECT 'saga' AS what, status AS name, count(*) AS number FROM amends.sagas GROUP BY status
UNION ALL SELECT 'wait', kind, count(*) FROM amends.waits GROUP BY kind
UNION ALL SELECT 'job', '', count(*) FROM amends.job_queue
"""


@dataclass(frozen=True, slots=True)
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

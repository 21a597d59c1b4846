"""Which workers live, and what they can run (rule C7): one row each, one update in half a minute."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eventstore.postgres import reachable

if TYPE_CHECKING:
    import asyncpg


FORGET_SECONDS = 3600.0
LIVES_SECONDS = 90.0
LIES_SECONDS = 5.0
NOBODY = """
SELECT wait.opened_by
FROM amends.waits AS wait JOIN amends.sagas AS saga USING (saga_id)
WHERE wait.saga_id = $1 AND wait.kind IN ('step', 'undo', 'probe', 'fallback')
    AND wait.since < clock_timestamp() - make_interval(secs => $3)
    AND NOT EXISTS (
        SELECT FROM amends.workers AS worker
        WHERE worker.seen_at > clock_timestamp() - make_interval(secs => $2)
            AND wait.queue = ANY (worker.queues)
            AND (format('%s.%s:%s', saga.definition, wait.step, wait.kind) = ANY (worker.handlers)
                OR wait.kind = 'probe' AND format('%s.%s:step', saga.definition, wait.step) = ANY (worker.handlers)))
"""


async def forget(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Take the rows of workers away that nobody heard of for an hour: they were killed.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with reachable():
        await pool.execute(
            "DELETE FROM amends.workers WHERE seen_at < clock_timestamp() - make_interval(secs => $1)", FORGET_SECONDS
        )


async def nobody_for(pool: "asyncpg.Pool[asyncpg.Record]", saga_id: str) -> frozenset[int]:
    """Which commands of a saga lie for a while, by what opened them: no worker that lives can run them.

    None of them reads their queue and has their handler.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with reachable():
        rows = await pool.fetch(NOBODY, saga_id, LIVES_SECONDS, LIES_SECONDS)
    return frozenset(row["opened_by"] for row in rows)


class Registry:
    """The row of one worker."""

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", name: str, queues: Sequence[str], handlers: Sequence[str]
    ) -> None:
        self._pool = pool
        self._name = name
        self._queues = list(queues)
        self._handlers = list(handlers)

    async def beat(self) -> None:
        """Say that the worker lives.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with reachable():
            await self._pool.execute(
                "INSERT INTO amends.workers (worker_id, queues, handlers) VALUES ($1, $2, $3) "
                "ON CONFLICT (worker_id) DO UPDATE SET seen_at = clock_timestamp()",
                self._name,
                self._queues,
                self._handlers,
            )

    async def leave(self) -> None:
        """Take the row away.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with reachable():
            await self._pool.execute("DELETE FROM amends.workers WHERE worker_id = $1", self._name)

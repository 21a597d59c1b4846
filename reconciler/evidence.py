"""What the reconciler looks at: waits that should be over, as PostgreSQL has them (rule K2)."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from eventstore.postgres import reachable
from sagas.manifest import Priority
from sagas.records import record
from sagas.statuses import WaitKind
from sagas.versions import FORMAT

if TYPE_CHECKING:
    import asyncpg

LOCK = 0x7265636F6E63696C  # "reconcil" in ASCII
RELEASED_LATELY = """
    saga.updated_at > clock_timestamp() - make_interval(secs => $1) AND (
        SELECT max(created_at) FROM amends.workflow_events
        WHERE workflow_id = saga.saga_id AND event_type = 'SagaReleased'
    ) > clock_timestamp() - make_interval(secs => $1)
"""  # a scalar: the planner looks it up by the saga, and never goes through all events
OVERDUE = """
SELECT saga_id::text, definition, opened_by, kind, step, item, attempt, queue, priority, entry_id,
    extract(epoch FROM due_at)::float8 AS since,
    extract(epoch FROM clock_timestamp() - due_at)::float8 AS age
FROM amends.waits JOIN amends.sagas AS saga USING (saga_id)
WHERE due_at < statement_timestamp() - make_interval(secs => $1) AND NOT unsent AND NOT held AND format <= $3
    AND kind NOT IN ('notify', 'operator') AND {which}
    AND ({released_lately}) IS NOT TRUE
ORDER BY due_at LIMIT $2
"""
OVERDUE_DATES = OVERDUE.format(which="queue IS NULL", released_lately=RELEASED_LATELY)
OVERDUE_COMMANDS = OVERDUE.format(which="queue IS NOT NULL AND entry_id IS NOT NULL", released_lately=RELEASED_LATELY)
NEVER_PUBLISHED = f"""
SELECT saga_id::text, definition, opened_by, kind, step, item, attempt, queue, priority, entry_id,
    extract(epoch FROM since)::float8 AS since,
    extract(epoch FROM clock_timestamp() - since)::float8 AS age
FROM amends.waits JOIN amends.sagas AS saga USING (saga_id)
WHERE published_at IS NULL AND NOT unsent AND NOT held AND queue IS NOT NULL AND claimed_by IS NULL AND format <= $3
    AND since < statement_timestamp() - make_interval(secs => $1)
    AND ({RELEASED_LATELY}) IS NOT TRUE
ORDER BY since LIMIT $2
"""  # noqa: S608 - nothing that anybody sends
NEWER = """
SELECT saga_id::text, definition, state ->> 'release' AS release, extract(epoch FROM updated_at)::float8 AS since
FROM amends.sagas
WHERE format > 1 AND format > $1 AND status NOT IN ('completed', 'compensated') AND NOT closed
ORDER BY saga_id LIMIT $2
"""


@record
class StaleWait:
    """A wait that should be over. `since` is an instant, `age` seconds: since it was due, or since it was opened.

    `queue`, `priority` and `entry_id` say where its command was put, if there is one, and if that was confirmed.
    """

    saga_id: str
    definition: str
    opened_by: int
    kind: WaitKind
    step: str | None
    item: int | None
    attempt: int
    since: float
    age: float
    queue: str | None = None
    priority: Priority | None = None
    entry_id: str | None = None

    @property
    def where(self) -> str:
        """The step, with its item."""
        return (self.step or "") if self.item is None else f"{self.step}[{self.item}]"


@record
class NewerSaga:
    """An open saga that only a newer program can read; `release` is the first that can, where it is known."""

    saga_id: str
    definition: str
    release: str | None
    since: float


class Sight(Protocol):
    """One look. Each question is one query, answered oldest first."""

    async def overdue(self, seconds: float, limit: int) -> list[StaleWait]:
        """Waits whose time passed so long ago, as many of commands as others; commands only that are confirmed as sent.

        Those of a saga that was released since are left alone, in both: its rows may not be moved yet (rule B7).
        """
        ...

    async def never_published(self, seconds: float, limit: int) -> list[StaleWait]:
        """Commands that are so old and were never confirmed as sent."""
        ...

    async def newer(self, limit: int) -> list[NewerSaga]:
        """Open sagas that only a newer program can read."""
        ...


class Evidence(Protocol):
    """Where a reconciler looks."""

    def look(self) -> AbstractAsyncContextManager[Sight | None]:
        """A look that no other reconciler has at the same time; None where one is at work."""
        ...


class PostgresEvidence:
    """The tables `waits` and `sagas`. An advisory lock keeps others out."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def look(self) -> AsyncGenerator[Sight | None]:
        """One look, on one connection."""
        async with reachable(), self._pool.acquire() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                yield None
                return
            try:
                yield _Sight(connection)
            finally:
                with suppress(OSError):
                    await _unlock(connection)


class _Sight:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def overdue(self, seconds: float, limit: int) -> list[StaleWait]:
        found = await self._find(OVERDUE_DATES, seconds, limit)
        return found + await self._find(OVERDUE_COMMANDS, seconds, limit)

    async def never_published(self, seconds: float, limit: int) -> list[StaleWait]:
        return await self._find(NEVER_PUBLISHED, seconds, limit)

    async def newer(self, limit: int) -> list[NewerSaga]:
        return [NewerSaga(**dict(row.items())) for row in await self._connection.fetch(NEWER, FORMAT, limit)]

    async def _find(self, query: str, seconds: float, limit: int) -> list[StaleWait]:
        return [StaleWait(**dict(row.items())) for row in await self._connection.fetch(query, seconds, limit, FORMAT)]


async def _unlock(connection: Any) -> None:
    """Give the lock back; with a broken connection it is gone already."""
    async with reachable():
        await connection.fetchval("SELECT pg_advisory_unlock($1)", LOCK)

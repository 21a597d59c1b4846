"""Transaction steps: exactly once, by a row that commits together with what the handler wrote (rules T1 to T3)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson

from consumers.execution import Call, ClosedError, Effect, effect_held, key_of, keys_to_close, look_away
from consumers.sessions import close_session, open_session
from sagas.events import Json
from sagas.ports import Command, CommitUnknown

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

log = logging.getLogger("amends.effects")

TRANSACTION_SECONDS_MAX = 10.0
INSERT = """
INSERT INTO amends.effects (idempotency_key, state) VALUES ($1, $2)
ON CONFLICT (idempotency_key) DO NOTHING RETURNING true
"""
FIND = "SELECT state, result::text FROM amends.effects WHERE idempotency_key = $1"
KEEP = "UPDATE amends.effects SET result = $2 WHERE idempotency_key = $1"
BROKEN = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
)


class PostgresTransactions:
    """Runs transaction steps in Amends' own database."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._releasing: set[asyncio.Task[None]] = set()

    async def run(self, command: Command, call: Call) -> Effect:
        """Run a transaction step once; a second execution waits for the first and gives its result (rule T1).

        Raises:
            CommitUnknown: the answer of the commit is lost. Anything else: it was rolled back.
        """
        key = key_of(command)

        async def work(connection: Any) -> Effect:
            if not await connection.fetchval(INSERT, key, "done"):
                return _known(await connection.fetchrow(FIND, key), key)
            async with opened(connection) as transaction:
                result = await call(transaction)
            await connection.execute(KEEP, key, orjson.dumps(result).decode())
            return Effect(result)

        return await self._within(command, work)

    async def close_key(self, command: Command) -> Effect:
        """Make sure that the step never commits any more (after an undo: nor its fallback), or find its result."""

        async def work(connection: Any) -> Effect:
            return await _close(connection, command)

        return await self._within(command, work)

    async def undo(self, command: Command, call: Call) -> Effect:
        """Close the keys; if the step had happened, undo it in the same transaction, exactly once."""
        key = f"{command.step_key}/undo"

        async def work(connection: Any) -> Effect:
            found = await _close(connection, command)
            if not found.closed and await connection.fetchval(INSERT, key, "done"):
                async with opened(connection) as transaction:
                    await call(transaction, found.result)
            return Effect(closed=found.closed)

        return await self._within(command, work)

    async def _within(self, command: Command, work: Callable[[Any], Awaitable[Effect]]) -> Effect:
        """Do the work in one transaction.

        Once it is committed nothing is awaited any more: what goes wrong later must not hide that it happened.
        """
        connection = await self._pool.acquire()
        try:
            transaction = await _begin(connection, command)
            try:
                effect = await work(connection)
            except BaseException:
                await _roll_back(transaction)
                raise
            await _commit(transaction)
            return effect
        finally:
            releasing = asyncio.create_task(self._release(connection))
            self._releasing.add(releasing)
            releasing.add_done_callback(self._releasing.discard)

    async def _release(self, connection: Any) -> None:
        try:
            await self._pool.release(connection)
        except BROKEN as loss:
            log.info("a broken connection is dropped: %s", loss)


class PostgresTransaction:
    """The transaction of one handler (def_R21)."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._session: Any = None

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement; gives its status."""
        status: str = await self._connection.execute(query, *args)
        return status

    async def fetch(self, query: str, *args: object) -> list[dict[str, Any]]:
        """Run a query; gives its rows."""
        return [dict(row.items()) for row in await self._connection.fetch(query, *args)]

    async def fetchrow(self, query: str, *args: object) -> dict[str, Any] | None:
        """Run a query; gives its first row, or None."""
        row = await self._connection.fetchrow(query, *args)
        return None if row is None else dict(row.items())

    async def fetchval(self, query: str, *args: object) -> Any:
        """Run a query; gives the first column of its first row, or None."""
        return await self._connection.fetchval(query, *args)

    async def executemany(self, query: str, args: Sequence[Sequence[object]]) -> None:
        """Run a statement once for each row of arguments."""
        await self._connection.executemany(query, args)

    @property
    def connection(self) -> Any:
        """The asyncpg connection that the transaction is open on."""
        return self._connection

    async def session(self) -> Any:
        """The SQLAlchemy session on this connection (an `AsyncSession`), always the same one.

        Its transaction is a savepoint in this one: a commit of it keeps nothing that the step does not keep. What is
        pending when the handler returns is committed with it.

        Raises:
            ImportError: SQLAlchemy is not installed.
        """
        if self._session is None:
            self._session = await open_session(self._connection)
        return self._session

    async def end(self, *, commit: bool) -> None:
        """End the session, if there is one."""
        if self._session is not None:
            await close_session(self._session, commit=commit)


@asynccontextmanager
async def opened(connection: Any) -> AsyncGenerator[PostgresTransaction]:
    """A handler's transaction, whose session ends with the handler."""
    transaction = PostgresTransaction(connection)
    try:
        yield transaction
    except BaseException:
        try:
            await transaction.end(commit=False)
        except Exception as unfit:  # noqa: BLE001 - the handler's own error says more
            log.info("the session of a failed handler does not end: %s", unfit)
        raise
    await transaction.end(commit=True)


async def _begin(connection: Any, command: Command) -> Any:
    transaction = connection.transaction()
    await transaction.start()
    seconds = min(command.timeout, TRANSACTION_SECONDS_MAX)
    await connection.execute(
        f"SET LOCAL statement_timeout = {int(seconds * 1000) + 500}; "
        f"SET LOCAL idle_in_transaction_session_timeout = {int(seconds * 1000) + 1000}"
    )
    return transaction


async def _close(connection: Any, command: Command) -> Effect:
    """Rule T2: if the row goes in, no execution can commit any more; if not, it holds the result."""
    happened: Effect | None = None
    for key in keys_to_close(command):
        if await connection.fetchval(INSERT, key, "closed"):
            continue
        row = await connection.fetchrow(FIND, key)
        if row["state"] == "done":
            happened = effect_held(command, key, _result(row))
    return happened or Effect(closed=True)


def _known(row: Any, key: str) -> Effect:
    if row["state"] == "closed":
        raise ClosedError(f"the key {key} is closed: the step was given up")
    return Effect(_result(row))


def _result(row: Any) -> Json:
    return orjson.loads(row["result"]) if row["result"] is not None else None


async def _roll_back(transaction: Any) -> None:
    try:
        await transaction.rollback()
    except BROKEN:
        return  # a broken connection has rolled back already


async def _commit(transaction: Any) -> None:
    """Commit, and do not let go before the answer is there: a timeout that cuts in would leave nobody knowing.

    Who gives up, several limits maybe, waits `TRANSACTION_SECONDS_MAX` longer.

    Raises:
        CommitUnknown: the connection broke while the commit was on its way, or the answer did not come.
    """
    loop = asyncio.get_running_loop()
    committing = asyncio.ensure_future(transaction.commit())
    until: float | None = None
    while not committing.done():
        if until is not None and loop.time() >= until:
            committing.add_done_callback(look_away)
            raise CommitUnknown(f"no answer to the commit within {TRANSACTION_SECONDS_MAX:g} s")
        try:
            await asyncio.wait([committing], timeout=None if until is None else until - loop.time())
        except asyncio.CancelledError:
            until = until or loop.time() + TRANSACTION_SECONDS_MAX
    if committing.cancelled():
        raise CommitUnknown("the commit was broken off")
    if isinstance(loss := committing.exception(), BROKEN):
        raise CommitUnknown(str(loss) or type(loss).__name__) from loss
    committing.result()

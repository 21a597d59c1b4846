"""The store in PostgreSQL: the only truth. One statement and one commit for a whole batch (rules A1 to A11)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import asyncpg
import orjson

from eventstore.arrays import columns_of, keys_of, written
from eventstore.connecting import PLAN_SETTINGS, append_settings, pool_of, role_of
from eventstore.listing import statement_of
from eventstore.queries import query
from eventstore.reading import head_of, manifest_of, recorded
from sagas.events import Json, Recorded
from sagas.listing import SagaFilter, SagaRow
from sagas.manifest import Manifest, Priority
from sagas.peek import Peek
from sagas.ports import (
    Claim,
    Committed,
    CommitUnknown,
    Contended,
    HeadBehind,
    Move,
    Published,
    StoreUnavailable,
    Unstorable,
    WaitRow,
)
from sagas.state import State, Value, Waiting
from sagas.versions import FORMAT

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Rows = list[asyncpg.Record]

log = logging.getLogger("amends.store")

ASKING_MAX = 8  # they queue here rather than at the server, which serves no more at once on few cores
COMMAND_SECONDS = 30.0
CLOSE_SECONDS = 5.0
AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InternalClientError,  # what the driver says when the connection breaks under it
    TimeoutError,
)
REFUSED = (asyncpg.InsufficientResourcesError, asyncpg.ReadOnlySQLTransactionError)
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
UNSTORABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
NEXT_EVENT = "workflow_events_workflow_id_sequence_number_key"


class PostgresStore:
    """Open one with `PostgresStore.open`.

    `pool` lends connections, for the transactions of handlers and routes; `asking` is for queries, `appending` for
    appends alone.
    """

    def __init__(self, pool: "Pool", asking: "Pool", appending: "Pool", seconds: float = COMMAND_SECONDS) -> None:
        self.pool = pool
        self.asking = asking
        self.appending = appending
        self._seconds = seconds

    @classmethod
    async def open(
        cls, url: str, *, pool_size: int = 8, name: str = "amends", seconds: float = COMMAND_SECONDS,
        lock_seconds: float | None = None,
    ) -> Self:  # fmt: skip
        """Connect; a statement may take so many seconds, and giving it up as many more.

        With `lock_seconds` an append that waits longer for a lock is `Contended`: the rest of its batch goes on.

        Where the role `amends_app` exists and may be taken, everything runs under it.

        Raises:
            StoreUnavailable: the database cannot be reached. NotMigratedError: it lacks tables.
        """
        try:
            role = await role_of(url)
            settings = {"application_name": name, **({"role": role} if role is not None else {})}
            pool = await pool_of(url, pool_size, seconds, settings, lent=True)
            asking = await pool_of(url, min(pool_size, ASKING_MAX), seconds, settings | PLAN_SETTINGS)
            appending = await pool_of(url, 2, seconds, settings | append_settings(lock_seconds), appends=True)
        except AWAY as away:
            raise StoreUnavailable(str(away) or type(away).__name__) from away
        return cls(pool, asking, appending, seconds)

    @classmethod
    async def open_to_read(cls, url: str) -> Self:
        """Connect to look at sagas alone, also where an older version of Amends runs: whatever writes fails.

        What is asked may use those columns only that were there from the first, as `sagas`, `heads`, `manifests` and
        `values` do.

        Raises:
            StoreUnavailable: the database cannot be reached. NotMigratedError: it has never had sagas.
        """
        try:
            role = await role_of(url, to_read=True)
            settings = {"default_transaction_read_only": "on", **({"role": role} if role is not None else {})}
            pool = await pool_of(url, 1, COMMAND_SECONDS, settings)
        except AWAY as away:
            raise StoreUnavailable(str(away) or type(away).__name__) from away
        return cls(pool, pool, pool)

    async def close(self) -> None:
        """End all connections; those of a server that does not answer are dropped."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(pool.close() for pool in {self.pool, self.asking, self.appending}))
        except TimeoutError:
            log.info("the database does not answer: its connections are dropped")

    async def now(self) -> float:
        """The database's clock."""
        now: float = await self._value("SELECT extract(epoch FROM clock_timestamp())::float8")
        return now

    async def heads(self, saga_ids: Sequence[str]) -> dict[str, State]:
        """The heads of these sagas, in one query."""
        rows = await self._fetch(query("heads"), list(saga_ids))
        return {row["saga_id"]: head_of(row) for row in rows}

    async def by_key(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], State]:
        """The sagas that hold these keys."""
        rows = await self._fetch(query("by_key"), [definition for definition, _ in keys], [key for _, key in keys])
        return {(row["definition"], row["key"]): head_of(row) for row in rows}

    async def seen(self, causes: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which causation ids have events already."""
        rows = await self._fetch(query("seen"), [saga_id for saga_id, _ in causes], [cause for _, cause in causes])
        return {(row["workflow_id"], row["causation_id"]) for row in rows}

    async def append(self, moves: Sequence[Move]) -> Committed:
        """Append to sagas that exist, in one statement and one commit."""
        return await self._commit(query("append"), _encoded(moves))

    async def start(self, moves: Sequence[Move], connection: object | None = None) -> Committed:
        """Insert new sagas; with a connection, inside its transaction."""
        arguments = [*_encoded(moves), *keys_of(moves)]
        if connection is None:
            return await self._commit(query("start"), arguments)
        joined: Any = connection
        return _committed(await joined.fetchrow(query("start"), *arguments))

    async def put_payloads(self, payloads: Mapping[str, bytes]) -> None:
        """Keep large values, sorted by hash, in a statement of their own.

        One that is there is young again, so that nobody drops it who has looked for what no event names; a young one is
        not touched, since that would lock it.
        """
        hashes = sorted(payloads)
        await self._execute(query("put_payloads"), hashes, [payloads[digest] for digest in hashes])

    async def values(self, wanted: Sequence[tuple[str, Value]]) -> list[Json]:
        """The values behind references, in at most two queries."""
        events = sorted({(saga_id, value.event) for saga_id, value in wanted if value.event is not None})
        hashes = sorted({value.payload for _, value in wanted if value.payload is not None})
        stored: dict[tuple[str, int], Json] = {}
        shelved: dict[str, Json] = {}
        if events:
            rows = await self._fetch(query("values"), [saga_id for saga_id, _ in events], [seq for _, seq in events])
            stored = {
                (row["workflow_id"], row["sequence_number"]): orjson.loads(row["value"] or "null") for row in rows
            }
        if hashes:
            rows = await self._fetch("SELECT hash, body FROM amends.payloads WHERE hash = ANY($1::text[])", hashes)
            shelved = {row["hash"]: orjson.loads(row["body"]) for row in rows}
        return [
            shelved[value.payload]
            if value.payload is not None
            else stored[saga_id, value.event]
            if value.event is not None
            else value.inline
            for saga_id, value in wanted
        ]

    async def due(self, limit: int, *, commands: bool = True) -> list[WaitRow]:
        """Waits whose time has come, oldest first."""
        return _rows(await self._fetch(query("due" if commands else "due_dates"), limit, FORMAT))

    async def delivered(self, waits: Sequence[Waiting]) -> None:
        """Take messages away."""
        await self._execute(query("delivered"), [saga_id for saga_id, _ in waits], [seq for _, seq in waits])

    async def peek(self) -> Peek:
        """Whether there is anything to do."""
        (row,) = await self._fetch(query("peek"), FORMAT)
        return Peek(**dict(row.items()))

    async def unpublished(self, age_seconds: float, limit: int) -> list[WaitRow]:
        """Commands that nobody confirmed for so long."""
        return _rows(await self._fetch(query("unpublished"), age_seconds, limit, FORMAT))

    async def take_unsent(
        self, limit: int, full: Sequence[tuple[str, Priority]] = (), unread: Sequence[str] = ()
    ) -> list[WaitRow]:
        """Take the marks of up to `limit` commands away."""
        queues, priorities = [queue for queue, _ in full], [priority for _, priority in full]
        return _rows(await self._fetch(query("take_unsent"), limit, queues, priorities, FORMAT, unread))

    async def mark_unsent(self, waits: Sequence[Waiting]) -> None:
        """Mark commands that were not sent."""
        await self._execute(query("mark_unsent"), [saga_id for saga_id, _ in waits], [seq for _, seq in waits])

    async def withdraw(self, commands: Sequence[Waiting]) -> list[WaitRow]:
        """The rows of commands, whose marks are taken away."""
        named = [saga_id for saga_id, _ in commands], [opened_by for _, opened_by in commands]
        return _rows(await self._fetch(query("withdraw"), *named))

    async def give_back(self, taken: Sequence[WaitRow]) -> None:
        """Mark again what was taken and not sent."""
        await self._execute(
            query("give_back"),
            [row.saga_id for row in taken],
            [row.opened_by for row in taken],
            [row.since for row in taken],
        )

    async def confirm(self, sent: Sequence[Published]) -> None:
        """Write down which commands are in their stream."""
        await self._execute(
            query("confirm"),
            [entry.saga_id for entry in sent],
            [entry.opened_by for entry in sent],
            [entry.entry_id for entry in sent],
            [entry.due_in for entry in sent],
            [entry.incarnation for entry in sent],
        )

    async def postpone(self, waits: Sequence[tuple[str, int, float]]) -> None:
        """Move checks."""
        if not waits:
            return
        saga_ids, opened_by, seconds = zip(*waits, strict=True)
        await self._execute(query("postpone"), saga_ids, opened_by, seconds)

    async def set_due(self, moved: Sequence[tuple[str, int, float | None]]) -> None:
        """Set when waits are due that a release has moved."""
        saga_ids, opened_by, instants = zip(*moved, strict=True)
        await self._execute(query("set_due"), saga_ids, opened_by, instants)

    async def prove_writable(self) -> None:
        """Write a row as it is."""
        await self._execute("UPDATE amends.transport SET incarnation = incarnation")

    async def memory_lost(self, incarnation: str) -> int:
        """Write down whose memory the transport stands in, and have sent commands looked for."""
        return int((await self._execute(query("memory_lost"), incarnation)).rpartition(" ")[2])

    async def claims(self, waits: Sequence[Waiting]) -> dict[Waiting, Claim]:
        """What is known of these commands."""
        rows = await self._fetch(query("claims"), [saga_id for saga_id, _ in waits], [seq for _, seq in waits])
        return {
            (row["saga_id"], row["opened_by"]): Claim(row["attempt"], row["held"], row["claimed_by"]) for row in rows
        }

    async def history(self, saga_id: str, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """The events of one saga, in order."""
        return [recorded(row) for row in await self._fetch(query("history"), saga_id, after, limit)]

    async def events_at(self, places: Sequence[Waiting]) -> dict[Waiting, Recorded]:
        """Single events."""
        rows = await self._fetch(query("events_at"), [saga_id for saga_id, _ in places], [seq for _, seq in places])
        return {(row["saga_id"], row["sequence_number"]): recorded(row) for row in rows}

    async def waits(self, saga_id: str) -> list[WaitRow]:
        """The open waits of one saga."""
        return _rows(await self._fetch(query("waits"), saga_id))

    async def sagas(self, wanted: SagaFilter) -> list[SagaRow]:
        """A page of sagas, newest first."""
        statement, arguments = statement_of(wanted)
        rows = await self._fetch(statement, *arguments)
        return [SagaRow(head_of(row), row["created_at"], row["updated_at"], row["saga_id"]) for row in rows]

    async def put_manifest(self, manifest: Manifest) -> None:
        """Keep a manifest; the last one put is the newest of its definition."""
        await self._execute(
            "INSERT INTO amends.saga_definitions (fingerprint, definition, manifest) VALUES ($1, $2, $3) "
            "ON CONFLICT (fingerprint) DO UPDATE SET seen_at = clock_timestamp()",
            manifest.fingerprint,
            manifest.name,
            manifest.to_json().decode(),
        )

    async def put_absent_manifest(self, manifest: Manifest) -> None:
        """Keep a manifest if it is not there, as the oldest of its definition: nobody has said that workers know it.

        It locks no row that is there: others who start sagas so need not wait.
        """
        await self._execute(
            "INSERT INTO amends.saga_definitions (fingerprint, definition, manifest, seen_at) "
            "VALUES ($1, $2, $3, '-infinity') ON CONFLICT (fingerprint) DO NOTHING",
            manifest.fingerprint,
            manifest.name,
            manifest.to_json().decode(),
        )

    async def manifests(self, fingerprints: Sequence[str] | None = None) -> dict[str, Manifest]:
        """Manifests by fingerprint, or the newest of each definition."""
        if fingerprints is None:
            rows = await self._fetch(
                "SELECT DISTINCT ON (definition) fingerprint, manifest::text FROM amends.saga_definitions "
                "ORDER BY definition, seen_at DESC"
            )
        else:
            rows = await self._fetch(
                "SELECT fingerprint, manifest::text FROM amends.saga_definitions WHERE fingerprint = ANY($1::text[])",
                list(fingerprints),
            )
        found = {row["fingerprint"]: manifest_of(row) for row in rows}
        return {fingerprint: manifest for fingerprint, manifest in found.items() if manifest is not None}

    async def _commit(self, statement: str, arguments: Sequence[Any]) -> Committed:
        try:
            connection = await self.appending.acquire(timeout=self._seconds * 2)
        except AWAY as away:
            raise StoreUnavailable(str(away) or type(away).__name__) from away
        try:
            return _committed(await connection.fetchrow(statement, *arguments))
        except AGAIN as clash:
            raise Contended(str(clash)) from clash
        except asyncpg.UniqueViolationError as met:
            kind = HeadBehind if met.constraint_name == NEXT_EVENT else Unstorable
            raise kind(str(met)) from met
        except UNSTORABLE as unfit:
            raise Unstorable(str(unfit)) from unfit
        except REFUSED as full:  # what the server says of a statement that it did not do
            raise StoreUnavailable(str(full) or type(full).__name__) from full
        except AWAY as loss:
            raise CommitUnknown(str(loss) or type(loss).__name__) from loss
        finally:
            await self._release(connection)

    async def _release(self, connection: Any) -> None:
        try:
            await self.appending.release(connection)
        except AWAY as loss:
            log.info("a broken connection is dropped: %s", loss)

    async def _fetch(self, statement: str, *arguments: Any) -> "Rows":
        async with reachable():
            return await self.asking.fetch(statement, *arguments)

    async def _value(self, statement: str, *arguments: Any) -> Any:
        async with reachable():
            return await self.asking.fetchval(statement, *arguments)

    async def _execute(self, statement: str, *arguments: Any) -> str:
        async with reachable():
            return await self.asking.execute(statement, *arguments)


@asynccontextmanager
async def reachable() -> AsyncGenerator[None]:
    """Turn the driver's ways of saying that the database is away into `StoreUnavailable`."""
    try:
        yield
    except (*AWAY, *AGAIN) as away:
        raise StoreUnavailable(str(away) or type(away).__name__) from away


def _encoded(moves: Sequence[Move]) -> list[Any]:
    """The arguments of an append. Text that is no text (half a surrogate pair) fails here already."""
    try:
        return written(columns_of(moves))
    except (TypeError, UnicodeError) as unfit:
        raise Unstorable(str(unfit)) from unfit


def _committed(row: Any) -> Committed:
    return Committed(frozenset(row["moved"]), row["now"])


def _rows(records: "Rows") -> list[WaitRow]:
    return [WaitRow(**dict(record.items())) for record in records]

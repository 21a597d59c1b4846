"""The database: what is committed, who waits for whom, and one host's way to it."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar, cast

from amends.testing.simulator.hosts import Host, SimulatedLoop, at_once
from amends.testing.simulator.network import Link
from amends.testing.simulator.owed import with_messages
from amends.testing.simulator.stored import CheckedStore
from consumers.wire import Disconnected
from reconciler.evidence import NewerSaga, Sight, StaleWait
from sagas.events import SagaReleased
from sagas.ports import CommitUnknown, Contended, Move, Store, StoreUnavailable, WaitRow
from sagas.state import COMMAND_KINDS

T = TypeVar("T")
EPOCH = 1_767_225_600.0
STATEMENT_SECONDS = 30.0
AWAY = (ConnectionRefusedError, Disconnected)
WRITES = frozenset({"append", "start"})
READS = frozenset({
    "now", "heads", "by_key", "seen", "values", "due", "peek", "unpublished", "claims", "history", "events_at", "waits",
    "sagas", "manifests",
})  # fmt: skip
ROW_WRITES = frozenset({"confirm", "postpone", "mark_unsent", "delivered", "give_back", "set_due"})


@dataclass
class Locks:
    """Rows that transactions hold; who comes later waits for all that it needs, and then takes all at once."""

    held: set[str] = field(default_factory=set[str])
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, names: Sequence[str]) -> None:
        """Wait until nobody has any of these, and have them."""
        while not self.held.isdisjoint(names):
            await self.changed.wait()
        self.held.update(names)

    def give(self, names: Iterable[str]) -> None:
        """Let others have them."""
        self.held.difference_update(names)
        self.changed.set()
        self.changed = asyncio.Event()


class Database:
    """The server: the store, the locks of what is under way, and its mishaps."""

    def __init__(self, loop: SimulatedLoop, store: CheckedStore, rng: Random) -> None:
        self.loop = loop
        self.store = store
        self.locks = Locks()
        self.clash = 0
        self.clashes = 0
        self.appends = 0
        self.refusing_until = 0.0
        self.refused = 0
        self.rng = rng
        self.generation = 0
        self.looking: object | None = None
        self.commit_seconds: Callable[[], float] = lambda: 0.002 if rng.random() < 0.1 else 0.0
        self.commit_quickly = self.commit_seconds

    def call(self, name: str, arguments: Sequence[Any], more: dict[str, Any]) -> Any:
        """One statement, at once; an append takes its time between having its rows and being durable."""
        if name not in READS:
            self.demand_room()
        if name == "start" and len(arguments) > 1 and arguments[1] is not None:
            return self.loop.create_task(arguments[1].insert(arguments[0]))
        if name in WRITES:
            return self.loop.create_task(self._append(name, arguments, more))
        if name in ROW_WRITES:
            return self.loop.create_task(self._update(name, arguments))
        return at_once(getattr(self.store, name)(*arguments, **more))

    def demand_room(self) -> None:
        """Refuse a write while there is no room for any."""
        if self.loop.now < self.refusing_until:
            self.refused += 1
            raise ConnectionRefusedError("the disk is full")

    async def _update(self, name: str, arguments: Sequence[Any]) -> Any:
        """An update of rows: it waits for whoever has them."""
        generation = self.generation
        names = sorted({_saga_of(row) for row in arguments[0]})
        await self.locks.take(names)
        try:
            if generation != self.generation:
                return Disconnected("the server was killed before the commit")
            return at_once(getattr(self.store, name)(*arguments))
        finally:
            self.locks.give(names)

    async def _append(self, name: str, arguments: Sequence[Any], more: dict[str, Any]) -> Any:
        moves: Sequence[Move] = arguments[0]
        generation, asked_at = self.generation, self.loop.now
        names = names_of(moves) if name == "start" else sorted(move.saga_id for move in moves)
        await self.locks.take(names)
        self.appends += 1
        transaction = self.store.begin()
        try:
            if self.clash:
                self.clash -= 1
                self.clashes += 1
                raise Contended("deadlock detected")
            seconds = self.commit_seconds()
            if seconds:
                await asyncio.sleep(seconds * self.rng.random())
            self.store.number(transaction, sum(len(move.events) for move in moves))
            if seconds:
                await asyncio.sleep(seconds * self.rng.random())
            if generation != self.generation:
                raise Disconnected("the server was killed before the commit")
            self.store.within, self.store.taking_seconds = transaction, self.loop.now - asked_at
            return at_once(getattr(self.store, name)(*arguments, **more))
        except Exception as error:  # noqa: BLE001 - the answer, to whoever asked
            return error
        finally:
            self.store.within, self.store.taking_seconds = None, 0.0
            self.store.end(transaction)
            self.locks.give(names)


def names_of(moves: Sequence[Move]) -> list[str]:
    """What starts need for themselves: they wait for others of their key, as the unique index has it."""
    keys = sorted(f"{move.state.definition}/{move.state.key}" for move in moves if move.state.key)
    return [*sorted(move.saga_id for move in moves), *keys]


def _saga_of(row: Any) -> str:
    """The saga of a row that is to be updated, by whatever names it."""
    found: str = getattr(row, "saga_id", None) or row[0]
    return found


class _HostStore:
    """Every method of the store, over a host's link."""

    def __init__(self, database: Database, link: Link) -> None:
        self._database = database
        self._link = link

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **more: Any) -> Any:
            database = self._database
            if name in WRITES:
                arguments = (with_messages(arguments[0]), *arguments[1:])
            try:
                return await self._link.ask(lambda: database.call(name, arguments, more), STATEMENT_SECONDS)
            except ConnectionRefusedError as away:
                raise StoreUnavailable(str(away)) from away
            except Disconnected as loss:
                if name in WRITES:
                    raise CommitUnknown(str(loss)) from loss
                raise StoreUnavailable(str(loss)) from loss

        self.__dict__[name] = call
        return call


def store_of(database: Database, link: Link) -> Store:
    """The store as one host sees it."""
    return cast("Store", _HostStore(database, link))


class SimulatedEvidence:
    """What the reconciler looks at. One looks at a time; the lock of a dead one goes with its connection."""

    def __init__(self, database: Database, link: Link, host: Host) -> None:
        self._database = database
        self._link = link
        self._host = host

    @asynccontextmanager
    async def look(self) -> AsyncGenerator[Sight | None]:
        """One look."""
        mine = object()
        if not await self._ask(lambda: self._lock(mine)):
            yield None
            return
        try:
            yield self
        finally:
            if self._host.alive:
                await self._ask(lambda: self._unlock(mine))

    async def overdue(self, seconds: float, limit: int) -> list[StaleWait]:
        """Waits that nobody ended."""

        def find() -> list[StaleWait]:
            store, now = self._database.store, at_once(self._database.store.now())
            rows = [
                row
                for row in store.rows()
                if row.due_at < now - seconds
                and not row.unsent
                and row.kind not in ("notify", "operator")
                and (row.entry_id is not None or row.queue is None)
                and not store.head(row.saga_id).held
                and not self._released_since(row, now - seconds)
            ]
            return self._stale(rows, now, lambda row: row.due_at)[:limit]

        return await self._ask(find)

    async def never_published(self, seconds: float, limit: int) -> list[StaleWait]:
        """Commands that nobody confirmed."""

        def find() -> list[StaleWait]:
            now = at_once(self._database.store.now())
            rows = at_once(self._database.store.unpublished(seconds, limit))
            rows = [row for row in rows if not self._released_since(row, now - seconds)]
            return self._stale([row for row in rows if row.kind in COMMAND_KINDS], now, lambda row: row.since)

        return await self._ask(find)

    async def newer(self, limit: int) -> list[NewerSaga]:
        """All hosts run one program."""
        return []

    def _released_since(self, row: WaitRow, instant: float) -> bool:
        history = at_once(self._database.store.history(row.saga_id, limit=sys.maxsize))
        return any(entry.at > instant and isinstance(entry.event, SagaReleased) for entry in history)

    def _stale(self, rows: list[WaitRow], now: float, since: Callable[[WaitRow], float]) -> list[StaleWait]:
        return [
            StaleWait(
                row.saga_id, self._database.store.head(row.saga_id).definition, row.opened_by, row.kind, row.step,
                row.item, row.attempt, since(row), now - since(row), row.queue, row.priority, row.entry_id,
            )
            for row in sorted(rows, key=lambda row: (since(row), row.saga_id, row.opened_by))
        ]  # fmt: skip

    def _lock(self, mine: object) -> bool:
        """An advisory lock, which goes with the connection that has it."""
        if self._database.looking is not None:
            return False
        self._database.looking = mine
        self._link.on_cut.append(lambda: self._unlock(mine))
        return True

    def _unlock(self, mine: object) -> None:
        if self._database.looking is mine:
            self._database.looking = None

    async def _ask(self, run: Callable[[], T]) -> T:
        try:
            return await self._link.ask(run, STATEMENT_SECONDS)
        except AWAY as away:
            raise StoreUnavailable(str(away)) from away

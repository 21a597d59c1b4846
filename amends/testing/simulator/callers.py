"""Those who start a saga in a transaction of their own: it exists exactly if their change does (rule A4)."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from random import Random

from amends.testing.simulator.database import AWAY, STATEMENT_SECONDS, Database, names_of
from amends.testing.simulator.hosts import at_once
from amends.testing.simulator.network import SILENCE_SECONDS, Link
from consumers.wire import Disconnected
from eventstore.memory import Transaction
from orchestrator.engine import Engine
from sagas.inputs import Answer, Start
from sagas.ports import Committed, CommitUnknown, Contended, Move, StoreUnavailable

RULE = "A4: a saga exists exactly if its caller's change does"
ROLLED_BACK = 0.3
LONG = 0.1
"""How many callers take their time, up to `LONG_SECONDS`, between their start and their commit."""
LONG_SECONDS = 3.0


class Changes:
    """The changes that callers wanted to make together with their sagas, and those that are made."""

    def __init__(self, fail: Callable[[str, str, str], None]) -> None:
        self._fail = fail
        self._wanted: set[str] = set()
        self._made: set[str] = set()

    def want(self, saga_id: str) -> None:
        """Somebody wants this saga to exist if a change of theirs does."""
        self._wanted.add(saga_id)

    def make(self, saga_id: str) -> None:
        """The transaction of somebody who was given this saga is committed."""
        self._made.add(saga_id)

    def began(self, saga_id: str) -> None:
        """There is such a saga from now on."""
        if saga_id in self._wanted - self._made:
            self._fail(RULE, saga_id, "it is there, and the change is not")

    def finish(self, there: Collection[str]) -> None:
        """What must hold at the end."""
        for saga_id in sorted(self._made.difference(there)):
            self._fail(RULE, saga_id, "the change is there, and it is not")


class CallersTransaction:
    """One transaction. Until it ends nobody sees its saga, and who wants the same key waits."""

    def __init__(self, database: Database, link: Link, changes: Changes) -> None:
        self._database = database
        self._link = link
        self._changes = changes
        self._generation = database.generation
        self._names: list[str] = []
        self._staged: list[Move] = []
        self._transaction: Transaction | None = None
        self._over = False
        link.on_cut.append(self._end)
        if link.silent:
            link.loop.later(SILENCE_SECONDS, self._end)

    async def insert(self, moves: Sequence[Move]) -> Committed | Exception:
        """At the server: put sagas in whose id and key are free, once whoever has those is gone."""
        database, store = self._database, self._database.store
        names = names_of(moves)
        await database.locks.take(names)
        self._names = names
        if self._lost():
            self._end()
            return Disconnected("the transaction is gone")
        self._transaction = store.begin()
        if database.clash:
            database.clash -= 1
            self._end()
            return Contended("deadlock detected")
        taken = {*at_once(store.heads([move.saga_id for move in moves]))}
        keys = {(move.state.definition, move.state.key): move.saga_id for move in moves if move.state.key}
        taken |= {keys[key] for key in at_once(store.by_key([(name, key or "") for name, key in keys]))}
        self._staged = [move for move in moves if move.saga_id not in taken]
        store.number(self._transaction, sum(len(move.events) for move in self._staged))
        return Committed(frozenset(move.saga_id for move in self._staged), at_once(store.now()))

    async def commit(self, saga_id: str) -> None:
        """Make the change, of which the saga is part.

        Raises:
            ConnectionRefusedError: it was not made. Disconnected: nobody knows.
        """

        def run() -> None:
            if self._lost():
                raise Disconnected("the transaction is gone")
            self._database.demand_room()
            self._changes.make(saga_id)
            store = self._database.store
            store.within = self._transaction
            try:
                if self._staged:
                    at_once(store.start(self._staged))
            finally:
                store.within = None
                self._end()

        await self._link.ask(run, STATEMENT_SECONDS)

    def close(self) -> None:
        """Roll back what is not committed; the server learns of it a little later."""
        self._link.loop.later(self._link.seconds(), self._end)

    def _lost(self) -> bool:
        return self._over or self._generation != self._database.generation

    def _end(self) -> None:
        self._over = True
        if self._end in self._link.on_cut:
            self._link.on_cut.remove(self._end)
        if self._transaction is not None:
            self._database.store.end(self._transaction)
        self._database.locks.give(self._names)
        self._names, self._transaction = [], None


async def start_joined(
    engine: Engine, word: Start, transaction: CallersTransaction, tell: Callable[[str], object], rng: Random | None
) -> Answer | None:
    """Start a saga together with a change of the caller's, which `rng` may have rolled back.

    The answer once it is committed; None if it is not, or nobody knows.
    """
    try:
        found = await engine.start_within(word, transaction)
        if rng is not None:
            await asyncio.sleep(rng.random() * (LONG_SECONDS if rng.random() < LONG else 0.05))
        if found.code not in ("created", "known"):  # who is told that a key came free meanwhile tries again
            return None if found.code == "refused" else found
        if rng is not None and rng.random() < ROLLED_BACK:
            tell("a caller rolls back")
            return None
        await transaction.commit(found.saga_id)
        return found
    except CommitUnknown:
        tell("a caller's connection breaks")
        return None
    except (*AWAY, StoreUnavailable, Contended):
        return None
    finally:
        transaction.close()

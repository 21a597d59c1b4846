"""Transaction steps of a simulated host: the same rules as PostgreSQL's, over its link (rules T1, T2)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self

from amends.testing.simulator.hosts import Host
from amends.testing.simulator.network import SILENCE_SECONDS, Link
from amends.testing.simulator.outside import Outside
from consumers.execution import Call, ClosedError, Effect, effect_held, key_of, keys_to_close
from consumers.wire import Disconnected
from sagas.events import Json
from sagas.ports import Command, CommitUnknown

TRANSACTION_SECONDS = 10.0
Staged = list[Callable[[], None]]


class SimulatedTransactions:
    """Runs transaction steps of one host against the world's ledger of keys."""

    def __init__(self, outside: Outside, link: Link, host: Host) -> None:
        self._outside = outside
        self._link = link
        self._host = host

    async def run(self, command: Command, call: Call) -> Effect:
        """Run a transaction step once."""
        key = key_of(command)
        async with self._holding([key]) as held:
            known = await self._ask(lambda: self._known(key))
            if isinstance(known, Effect):
                return known
            staged: Staged = []
            result = await call(staged)
            await self._commit(held, {key: result}, [], staged)
        return Effect(result)

    async def close_key(self, command: Command) -> Effect:
        """Close the step's key, and the fallback's for an undo, or find the result."""
        keys = keys_to_close(command)
        async with self._holding(keys) as held:
            found = await self._ask(lambda: self._find(command))
            await self._commit(held, {}, keys, [])
        return found or Effect(closed=True)

    async def undo(self, command: Command, call: Call) -> Effect:
        """Undo what happened, once."""
        keys, undone = keys_to_close(command), f"{command.step_key}/undo"
        async with self._holding((*keys, undone)) as held:
            found = await self._ask(lambda: self._find(command))
            staged: Staged = []
            kept: dict[str, Json] = {}
            if found is not None and undone not in self._outside.kept:
                await call(staged, found.result)
                kept[undone] = None
            await self._commit(held, kept, keys, staged)
        return Effect(closed=found is None)

    def _holding(self, keys: Sequence[str]) -> "_Held":
        return _Held(self._outside, self._host, self._link, keys)

    def _known(self, key: str) -> Effect | None:
        if key in self._outside.closed:
            raise ClosedError(f"the key {key} is closed: the step was given up")
        return Effect(self._outside.kept[key]) if key in self._outside.kept else None

    def _find(self, command: Command) -> Effect | None:
        kept = self._outside.kept
        found = [effect_held(command, key, kept[key]) for key in keys_to_close(command) if key in kept]
        return found[-1] if found else None

    async def _ask(self, run: Callable[[], Any]) -> Any:
        return await self._link.ask(run, TRANSACTION_SECONDS)

    async def _commit(self, held: "_Held", kept: dict[str, Json], closed: Sequence[str], staged: Staged) -> None:
        def commit() -> None:
            if held.lost:
                raise Disconnected("the connection of the transaction is lost, and with it the transaction")
            for key in kept:
                if key in self._outside.kept or key in self._outside.closed:
                    self._outside.fail("7: a key is used once, and never once it is closed", key, "committed again")
            self._outside.kept.update(kept)
            self._outside.closed.update(key for key in closed if key not in self._outside.kept)
            for write in staged:
                write()

        committing = asyncio.ensure_future(self._ask(commit))
        committing.add_done_callback(_look)
        while not committing.done():
            try:
                await asyncio.wait([committing])
            except asyncio.CancelledError:
                continue  # as the real one: who has sent a commit waits for its answer
        if isinstance(loss := committing.exception(), Disconnected):
            raise CommitUnknown(str(loss)) from loss
        committing.result()


class _Held:
    """A transaction, and the rows of `effects` that it holds for as long as its connection lives.

    Who comes later waits. What one held whose connection breaks is free again once the server has seen it.
    """

    def __init__(self, outside: Outside, host: Host, link: Link, keys: Sequence[str]) -> None:
        self.lost = False
        self._locked = outside.locked
        self._host = host
        self._link = link
        self._keys: list[str] = sorted(keys)
        self._mine: dict[str, asyncio.Event] = {}

    async def __aenter__(self) -> Self:
        while others := [self._locked[key] for key in self._keys if key in self._locked]:
            await others[0].wait()
        for key in self._keys:
            self._mine[key] = self._locked[key] = asyncio.Event()
        self._link.on_cut.append(self._lose)
        if self._link.silent:
            self._link.loop.later(SILENCE_SECONDS, self._lose)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._lose in self._link.on_cut:
            self._link.on_cut.remove(self._lose)
        late = self._link.frozen_until - self._link.loop.now
        if late > 0:  # what the server was asked for it does when it goes on
            self._link.loop.later(late + 1.0, self._lose)
        else:
            self._lose()

    def _lose(self) -> None:
        """The transaction is over: what is still on its way to it comes to nothing."""
        self.lost = True
        for key, event in self._mine.items():
            if self._locked.get(key) is event:
                del self._locked[key]
            event.set()
        self._mine.clear()


def _look(done: "asyncio.Future[None]") -> None:
    """Whoever waited for it may be dead."""
    if not done.cancelled():
        done.exception()

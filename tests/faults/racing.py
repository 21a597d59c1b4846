"""Sagas under way on virtual time, people who ask things of them, and a ledger of what really happened.

Everything that decides is the production code: engines, orchestrators, workers, the backend of the API. Only the
servers are in memory, and slow, so that others come between a look and a commit.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from amends.backend import Backend
from amends.clock import LoopClock
from amends.testing.pace import LEASE_SECONDS, WatchedStore
from amends.testing.virtual import IN_HANDLER, VirtualLoop
from amends.timeline import timeline
from consumers.execution import Call, ClosedError, Effect, Surroundings, effect_held, key_of, keys_to_close
from consumers.inprocess import Broker, InProcessTransport
from consumers.worker import Worker
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from sagas.context import Context
from sagas.errors import Permanent, Recoverable
from sagas.events import Json
from sagas.inputs import Answer, Asked, Send
from sagas.ports import Command, Committed, CommitUnknown, Move
from sagas.seal import Sealed
from sagas.state import State

Key = tuple[str, str, int | None]
PAUSES = (0.0, 0.0, 0.0, 0.001, 0.02, 0.3)
HARMS = ("fails", "again", "vague_before", "vague_after", "hangs_before", "hangs_after")
HANG_SECONDS = 60.0
LATE_STEPS = frozenset({"charge", "mail", "note"})
LATE_TROUBLE = 4.0
LONGEST_SECONDS = 30 * 86_400.0


class SlowStore(WatchedStore):
    """Answers after a while, and may lose the answer of a commit."""

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        super().__init__(loop, LONGEST_SECONDS)
        self._chance = chance
        self.slow = True

    async def heads(self, saga_ids: Sequence[str]) -> dict[str, State]:
        """The heads, as they were when they were asked for."""
        found = await super().heads(saga_ids)
        await self._pause()
        return found

    async def append(self, moves: Sequence[Move]) -> Committed:
        """Append, after a while."""
        await self._pause()
        return await super().append(moves)

    def every(self) -> list[State]:
        """How all sagas stand."""
        return list(self._heads.values())

    def owing(self) -> bool:
        """Whether a saga owes another a message."""
        return any(row.kind == "notify" for row in self._waits.values())

    async def _pause(self) -> None:
        await LoopClock().sleep(self._chance.choice(PAUSES) if self.slow else 0.0)


class Effects:
    """What transaction steps have committed, by their keys (rules T1, T2); two executions wait for each other."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._kept: dict[str, Json] = {}
        self._closed: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}

    async def run(self, command: Command, call: Call) -> Effect:
        """Run it once."""
        key = key_of(command)
        async with self._locks.setdefault(command.step_key, asyncio.Lock()):
            if key in self._closed:
                raise ClosedError(key)
            if key not in self._kept:
                result = await call(None)
                lost = self._world.is_troubled()
                if not lost or self._world.chance.random() < 0.5:
                    self._kept[key] = result
                    self._world.done.add(_place(command))
                if lost:
                    raise CommitUnknown("the answer of the commit is lost")
            return Effect(self._kept[key])

    async def close_key(self, command: Command) -> Effect:
        """Close it, or find the result."""
        async with self._locks.setdefault(command.step_key, asyncio.Lock()):
            return self._close(command)

    async def undo(self, command: Command, call: Call) -> Effect:
        """Undo what had happened, once."""
        async with self._locks.setdefault(command.step_key, asyncio.Lock()):
            found, key = self._close(command), f"{command.step_key}/undo"
            if not found.closed and key not in self._kept:
                await call(None, found.result)
                self._kept[key] = None
                self._world.done.discard(_place(command))
            return Effect(closed=found.closed)

    def _close(self, command: Command) -> Effect:
        happened: Effect | None = None
        for key in keys_to_close(command):
            if key in self._kept:
                happened = effect_held(command, key, self._kept[key])
            else:
                self._closed.add(key)
        return happened or Effect(closed=True)


def _place(command: Command) -> Key:
    return command.saga_id, command.step, command.item


@dataclass
class Host:
    """A process: a worker with an orchestrator beside it."""

    outcomes: str
    worker: Worker
    orchestrator: Orchestrator
    tasks: list[asyncio.Task[None]]


@dataclass
class World:
    """The servers, two hosts, the API, and the ledger `done`: what stands there, whatever anybody was told."""

    sealed: dict[str, Sealed]
    chance: random.Random
    trouble: float = 0.4
    done: set[Key] = field(default_factory=set[Key])
    executed: set[tuple[str, str, int | None, int]] = field(default_factory=set[tuple[str, str, int | None, int]])
    wrong: list[str] = field(default_factory=list[str])
    tally: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    """What was asked, and how it was answered."""

    def open(self, loop: VirtualLoop) -> None:
        """Put everything up; to be called within the loop."""
        self.loop, self.clock, self.broker = loop, LoopClock(), Broker()
        self.store = SlowStore(loop, self.chance)
        self.effects = Effects(self)
        self.hosts: list[Host] = []
        self.asking: set[asyncio.Task[Any]] = set()
        self._count = 0
        sender = InProcessTransport(self.broker, "api")
        engine = Engine(self.store, self.clock, Publisher(self.store, sender, self.clock, LEASE_SECONDS))
        nothing: Any = None
        self.backend = Backend(self.store, nothing, engine, sender, self.sealed)
        for _ in range(2):
            self.add_host()

    def new_id(self, what: str) -> str:
        """Another name."""
        self._count += 1
        return f"{what}{self._count}"

    def add_host(self, outcomes: str | None = None) -> None:
        """One more process; it reads outcomes in place of another one, if it is told whose."""
        name = self.new_id("host")
        sender = InProcessTransport(self.broker, outcomes or name)
        publisher = Publisher(self.store, sender, self.clock, LEASE_SECONDS)
        engine = Engine(self.store, self.clock, publisher)
        here = Surroundings(transactions=self.effects, worker=name)
        worker = Worker(InProcessTransport(self.broker, f"{name}w"), self.store, self.sealed, here, engine)
        orchestrator = Orchestrator(self.store, sender, self.clock, engine, publisher)
        tasks = [asyncio.create_task(worker.run()), asyncio.create_task(orchestrator.run())]
        self.hosts.append(Host(outcomes or name, worker, orchestrator, tasks))

    async def kill(self) -> None:
        """A host stands still for good: what its handlers do still happens, and nobody hears of it. Another comes."""
        host = self.hosts.pop(self.chance.randrange(len(self.hosts)))
        for task in host.tasks:
            task.cancel()
        await asyncio.wait(host.tasks)
        self.add_host(host.outcomes)

    def is_troubled(self, step: str = "") -> bool:
        """Whether it goes wrong this time; at the end of a saga more often, else few would come so far."""
        return self.chance.random() < self.trouble * (LATE_TROUBLE if step in LATE_STEPS else 1.0)

    async def act(self, context: Context, *, undo: bool = False, ledger: bool = True) -> None:
        """What a handler does to the world, which may go wrong before or after."""
        key = (context.saga_id, context.step, context.item)
        if (*key, context.attempt) in self.executed:
            self.wrong.append(f"{key} attempt {context.attempt} is run twice")
        self.executed.add((*key, context.attempt))
        harm = self.chance.choice(HARMS) if self.is_troubled(context.step) else ""
        token = IN_HANDLER.set(True)
        try:
            await self.clock.sleep(self.chance.choice((0.0, 0.01, 0.3, 1.5)))
            if harm == "fails":
                raise Permanent("no")
            if harm == "again":
                raise Recoverable("busy")
            if harm == "vague_before":
                raise RuntimeError("the line went dead")
            await self.clock.sleep(HANG_SECONDS if harm == "hangs_before" else 0.0)
            if ledger:
                (self.done.discard if undo else self.done.add)(key)
            if harm == "vague_after":
                raise RuntimeError("the line went dead")
            await self.clock.sleep(HANG_SECONDS if harm == "hangs_after" else self.chance.choice((0.0, 0.3)))
        finally:
            IN_HANDLER.reset(token)

    def spawn(self, asking: Coroutine[Any, Any, Any]) -> None:
        """Somebody asks while everything else goes on."""
        task = asyncio.create_task(asking)
        self.asking.add(task)
        task.add_done_callback(self._asked)

    def _asked(self, task: "asyncio.Task[Any]") -> None:
        self.asking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.wrong.append(f"a request failed: {error!r}")

    async def ask(self, word: Asked | Send) -> Answer:
        """Ask something through the API's backend."""
        answer = await self.backend.ask(word)
        self.tally[type(word).__name__, getattr(word, "outcome", ""), answer.code] += 1
        return answer

    async def told(self, saga_id: str) -> str:
        """What happened to a saga, line by line."""
        history = await self.store.history(saga_id, limit=10_000)
        head = (await self.store.heads([saga_id]))[saga_id]
        return "\n".join([f"{head.definition} {saga_id} {head.status}", *timeline(history), f"{head.waits}"])

    async def close(self) -> None:
        """Let everybody go home."""
        await self.backend.close()
        for host in self.hosts:
            host.worker.drain()
            host.orchestrator.stop()
        await asyncio.wait([task for host in self.hosts for task in host.tasks])

"""A simulated run, recorded at its servers: each call of the store and each command, in the order of their effects.

What is recorded is what took effect. Answers that were lost on their way, and writes that never arrived, are not part
of it.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from amends.testing.simulator import system as simulator
from amends.testing.simulator.database import SimulatedEvidence
from amends.testing.simulator.hosts import at_once
from amends.testing.simulator.script import Script
from amends.testing.simulator.system import System, simulate
from amends.testing.simulator.watched import WatchedServer
from consumers.memory_server import MemoryServer
from consumers.memory_streams import Memory
from consumers.wire import Command, ResponseError
from sagas.definition import Saga
from sagas.listing import SagaFilter
from sagas.manifest import Manifest
from sagas.ports import Store

READS_ITS_SERVER = ("INFO", "TIME")
"""What a server says of itself alone."""
ALL = 100_000
STORE = tuple(name for name in vars(Store) if inspect.iscoroutinefunction(getattr(Store, name)))


@dataclass(slots=True)
class Called:
    """A call of the store, or a look of the reconciler, at an instant of the database's clock."""

    at: float
    name: str
    arguments: tuple[Any, ...]
    more: dict[str, Any]
    answer: Any = None


@dataclass(slots=True)
class Handed:
    """An entry that is handed out: since how long, and whether it is still in its stream."""

    name: bytes
    consumer: bytes
    idle_ms: int
    times: int
    there: bool


@dataclass(slots=True)
class Executed:
    """A command. A blocking read stands where it was answered. `held` is what the group had handed out before it."""

    command: Command
    held: tuple[Handed, ...] = ()
    answer: Any = None


@dataclass
class Recording:
    """A run. `manifests` are known before it begins; `owed` are the messages that stand at its end, by saga."""

    manifests: list[Manifest] = field(default_factory=list[Manifest])
    calls: list[Called] = field(default_factory=list[Called])
    commands: list[Executed] = field(default_factory=list[Executed])
    owed: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])


class RecordingServer(WatchedServer):
    """A server of streams that writes down what it does."""

    commands: list[Executed]

    def execute(self, command: Command) -> Any:
        """The answer to a command. What it lets others read comes behind it."""
        if command[0] in READS_ITS_SERVER:
            return super().execute(command)
        self.commands.append(done := Executed(without_block(command)))
        if command[0] == "XAUTOCLAIM":
            done.held = self._held(str(command[1]), str(command[2]))
        try:
            done.answer = super().execute(command)
        except ResponseError as refused:
            if str(refused).startswith("OOM"):
                self.commands.pop()  # nothing was done
            done.answer = refused
            raise
        return done.answer

    def flush(self, *, silently: bool = False) -> None:
        """Forget everything."""
        self.commands.append(Executed(("FLUSHALL",), answer=b"OK"))
        super().flush(silently=silently)

    def restart(self, memory: Memory | None = None, *, other: bool = False) -> None:
        """Come up again, with all that there was."""
        assert memory is None, "an older memory cannot be given to a real server"
        super().restart(other=other)

    def _held(self, key: str, group: str) -> tuple[Handed, ...]:
        try:
            found = MemoryServer.execute(self, ("XPENDING", key, group, "-", "+", ALL))
        except ResponseError:
            return ()
        there = {name for name, _ in MemoryServer.execute(self, ("XRANGE", key, "-", "+"))}
        return tuple(Handed(name, consumer, idle_ms, times, name in there) for name, consumer, idle_ms, times in found)


class RecordedEvidence(SimulatedEvidence):
    """What the reconciler looks at, written down at the database."""

    calls: list[Called]
    _asked: Called | None = None

    async def overdue(self, seconds: float, limit: int) -> Any:
        """Waits that nobody ended."""
        self._asked = Called(0.0, "overdue", (seconds, limit), {})
        return await super().overdue(seconds, limit)

    async def never_published(self, seconds: float, limit: int) -> Any:
        """Commands that nobody confirmed."""
        self._asked = Called(0.0, "never_published", (seconds, limit), {})
        return await super().never_published(seconds, limit)

    async def _ask(self, run: Callable[[], Any]) -> Any:
        asked, self._asked = self._asked, None

        def told() -> Any:
            answer = run()
            if asked is not None:
                asked.at, asked.answer = at_once(self._database.store.now()), answer
                self.calls.append(asked)
            return answer

        return await super()._ask(told)


def without_block(command: Command) -> Command:
    """A read that takes what there is."""
    if "BLOCK" not in command:
        return command
    place = command.index("BLOCK")
    return (*command[:place], *command[place + 2 :])


def record(script: Script, sagas: Sequence[Saga[Any, Any]]) -> Recording:
    """Run a script, and look at everything once more when it has ended."""
    recording = Recording()

    class Recorded(System):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.server: RecordingServer = RecordingServer(lambda: self._now("streams"), self.checks)
            self.server.commands = recording.commands
            recording.manifests = [*self.versions.values(), *(sealed.manifest for sealed in self.sealed.values())]
            self.under_way = False
            for name in STORE:
                setattr(self.database.store, name, self._recorded(name, getattr(self.database.store, name)))

        def _now(self, server: str) -> float:
            return round(super()._now(server), 6)  # as exact as the clocks of real servers

        def _recorded(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
            async def call(*arguments: Any, **more: Any) -> Any:
                if self.under_way:  # a part of another call
                    return await method(*arguments, **more)
                done = Called(self._now("database"), name, arguments, more)
                recording.calls.append(done)
                self.under_way = True
                try:
                    done.answer = await method(*arguments, **more)
                except Exception as error:
                    done.answer = error
                    raise
                finally:
                    self.under_way = False
                return done.answer

            return call

        async def run(self) -> None:
            await super().run()
            store = self.database.store
            await _look_at_all(store)
            recording.owed = [(saga_id, row.event_type, row.data) for saga_id, row in store.outbox]
            _look_at_streams(self.server)

    class Evidence(RecordedEvidence):
        calls = recording.calls

    with patch.object(simulator, "System", Recorded), patch.object(simulator, "SimulatedEvidence", Evidence):
        result = simulate(script, sagas)
    assert not result.failed, result.violations
    return recording


async def _look_at_all(store: Any) -> None:
    known: list[str] = store.known()
    heads = await store.heads(known)
    await store.by_key([(state.definition, state.key) for state in heads.values() if state.key is not None])
    await store.sagas(SagaFilter(limit=ALL))
    await store.sagas(SagaFilter(limit=ALL, may_run=True))
    for saga_id, state in heads.items():
        await store.waits(saga_id)
        events = await store.history(saga_id)
        await store.seen([(saga_id, one.causation) for one in events if one.causation])
        await store.values([(saga_id, step.result) for step in state.steps.values() if step.result is not None])
    await store.peek()
    await store.due(ALL)


def _look_at_streams(server: RecordingServer) -> None:
    for key in server.keys():  # noqa: SIM118 - no dictionary
        server.execute(("XRANGE", key, "-", "+"))
        for _, group, *_ in server.execute(("XINFO", "GROUPS", key)):
            server.execute(("XPENDING", key, group.decode(), "-", "+", ALL))

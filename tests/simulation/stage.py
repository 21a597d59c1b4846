"""A stage on which one schedule is played: production services on simulated hosts, stepped by the test.

Every invariant of the simulator is watched meanwhile (`amends/testing/simulator/checks.py`); a scene adds what it is
about. Hosts are processes: a crash is a crash, a pause a pause.
"""

# pyright: reportPrivateUsage=false
# The stage looks behind the store in memory.

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

import pytest

from amends.clock import LoopClock
from amends.testing.simulator.callers import CallersTransaction, start_joined
from amends.testing.simulator.hosts import Host, SimulatedLoop
from amends.testing.simulator.system import Process
from consumers import worker
from consumers.execution import execute
from consumers.keys import command_key
from consumers.memory_streams import Memory
from consumers.wire import SOCKET_SECONDS, Command
from sagas import events as e
from sagas.definition import Saga
from sagas.events import Recorded
from sagas.inputs import Answer, Cancel, Hold, Input, Release, Resolve, Send, Start, TryAgain
from sagas.manifest import Manifest, Role
from sagas.ports import Move, WaitRow
from sagas.state import State
from tests.simulation.ledger import Call, Plan
from tests.simulation.played import Played

API, O0, O1, W0, W1, READER = "api0", "orchestrator0", "orchestrator1", "worker0", "worker1", "reader0"
COMMANDS = command_key("default", "normal")
LOOK_SECONDS = 0.01
Ev = TypeVar("Ev", bound=e.Event)


class Stage:
    """What a scene may do, and see. Seconds are of virtual time."""

    def __init__(self, system: Played) -> None:
        self.server = system.server
        self.ledger = system.ledger
        self.calls = system.ledger.calls
        self.checks = system.checks
        self._system = system
        self._loop: SimulatedLoop = system.loop
        self._clock = LoopClock()
        self._started = 0
        self.patch = pytest.MonkeyPatch()
        """What it patches in production code, until the scene has ended."""
        self._commands: list[Callable[[Command, Any], bool]] = []
        self._commits: list[Callable[[Move], bool]] = []
        system.server.heard = self._heard
        store = system.database.store
        apply = store._apply

        def applied(move: Move) -> None:
            apply(move)
            self._commits = [watch for watch in self._commits if not watch(move)]

        setattr(store, "_apply", applied)  # noqa: B010 - mypy sees that this is no method

    # Hosts

    def boot(self, *names: str) -> None:
        """Start processes, or start them again."""
        for name in names:
            self._system.boot(name)

    def crash(self, name: str) -> None:
        """It never runs another instruction."""
        self._host(name).kill()

    def pause(self, name: str) -> None:
        """It stands still."""
        self._host(name).pause()

    def resume(self, name: str) -> None:
        """It goes on where it stood."""
        self._host(name).resume()

    def stands_still(self, name: str) -> bool:
        """Whether it does."""
        return self._host(name).stopped

    def drain(self, name: str) -> None:
        """It is told to end."""
        self._process(name).stop()

    def lose_answer_of_streams(self, name: str) -> None:
        """What the server of streams says next to this host is lost, and its connections with it."""
        self._troubled()
        self._process(name).to_streams.lose_answers += 1

    def lose_request_to_streams(self, name: str) -> None:
        """What this host asks next does not arrive, and its connections break."""
        self._troubled()
        self._process(name).to_streams.lose_requests += 1

    def cut_off(self, name: str) -> None:
        """The host reaches the server of streams no more, and nobody says so."""
        self._troubled()
        self._process(name).to_streams.be_silent(SOCKET_SECONDS)

    def reconnect(self, name: str) -> None:
        """The host reaches the server of streams again."""
        self._process(name).to_streams.silent = False

    def refuse_database(self, name: str) -> None:
        """The host reaches the database no more."""
        self._troubled()
        link = self._process(name).to_database
        link.refused = True
        link.cut()

    # The server of streams

    def flush(self) -> None:
        """The server forgets everything."""
        self._troubled()
        self.server.flush()

    def failover(self, memory: Memory) -> None:
        """Another server takes its place, with an older memory."""
        self._troubled()
        self.server.restart(memory, other=True)
        for process in self._system.processes.values():
            process.to_streams.cut()

    def refuse_writes(self, refuses: bool) -> None:
        """Its memory is full, or no longer."""
        self._troubled()
        self.server.refusing = refuses

    def trim(self) -> None:
        """Somebody deletes all commands that stand in the stream."""
        self._troubled()
        names = [name for name, _ in self.server.execute(("XRANGE", COMMANDS, "-", "+"))]
        if names:
            self.server.execute(("XDEL", COMMANDS, *names))

    @property
    def awaited(self) -> int:
        """How much of what something was to happen at has never come."""
        return len(self._commands) + len(self._commits)

    def when_asked(self, name: str, key: str, then: Callable[[], object], *, answered: bool = False) -> None:
        """At the next such command, or script, about this key, once done; `answered`: only if it found something."""

        def watch(command: Command, answer: Any) -> bool:
            meets = name in command[:2] and key in command and (not answered or bool(answer))
            if meets:
                then()
            return meets

        self._commands.append(watch)

    def when_committed(self, kind: type[e.Event], then: Callable[[], object], *, step: str | None = None) -> None:
        """At the commit of the next such event, before whoever commits hears of it."""

        def watch(move: Move) -> bool:
            meets = any(isinstance(one.event, kind) and step in (None, one.event.step) for one in move.events)
            if meets:
                then()
            return meets

        self._commits.append(watch)

    def when_stored(self, name: str, then: Callable[[], object]) -> None:
        """At the next call of this method of the store that finds something, before whoever asks hears of it."""
        store = self._system.database.store
        method = getattr(store, name)

        async def once(*arguments: Any, **more: Any) -> Any:
            found = await method(*arguments, **more)
            if found:
                setattr(store, name, method)
                then()
            return found

        setattr(store, name, once)

    def when_entered(self, then: Callable[[], object]) -> None:
        """When the next command has been entered, before anything of it is done."""

        async def once(*arguments: Any) -> Any:
            self.patch.undo()
            then()
            await self._clock.sleep(0)  # who stands still goes on from here
            return await execute(*arguments)

        self.patch.setattr(worker, "execute", once)

    def count(self, name: str) -> list[None]:
        """An entry for each call of this method of the store from now on."""
        store = self._system.database.store
        method = getattr(store, name)
        calls: list[None] = []

        def counted(*arguments: Any, **more: Any) -> Any:
            calls.append(None)
            return method(*arguments, **more)

        setattr(store, name, counted)
        return calls

    def _heard(self, command: Command, answer: Any) -> None:
        watching, self._commands = self._commands, []
        left = [watch for watch in watching if not watch(command, answer)]
        self._commands = left + self._commands

    # Sagas

    def plan(self, step: str, what: Plan, *attempts: int, role: Role = "step") -> None:
        """What this role of a step does under these attempts, or under all that nothing else is said of."""
        for attempt in attempts or (0,):
            self.ledger.plans[step, role, attempt] = what

    async def start(self, saga: Saga[Any, Any], *, key: str | None = None, joined: bool = False) -> str:
        """Start a saga by the API; its id."""
        self._started += 1
        saga_id = f"01900000-0000-7000-8000-{self._started:012d}"
        sealed = saga.seal()
        word = Start(saga_id, sealed.manifest, sealed.normalise({"id": 1_000_000}), key=key)
        answer = await self.ask(word, joined=joined)
        assert answer.code in ("created", "known"), answer
        self.checks.accepted(answer)
        return answer.saga_id

    async def ask(self, word: Input, *, joined: bool = False) -> Answer:
        """What the API answers to an input."""
        self.checks.said.asks(word)
        process = self._process(API)
        answer: asyncio.Future[Answer] = self._loop.create_future()

        async def apply() -> None:
            if joined and isinstance(word, Start):
                transaction = CallersTransaction(self._system.database, process.to_database, self.checks.changes)
                found = await start_joined(process.engine, word, transaction, self._system.trace.mark, None)
                assert found is not None
                answer.set_result(found)
            else:
                answer.set_result((await process.engine.apply([word]))[0])

        process.host.run(apply())
        return await answer

    async def cancel(self, saga_id: str) -> Answer:
        """Somebody cancels the saga."""
        return await self.ask(Cancel(saga_id, "no longer wanted", f"cancel/{self._loop.now}"))

    async def hold(self, saga_id: str) -> Answer:
        """Somebody holds the saga."""
        return await self.ask(Hold(saga_id, "wait", f"hold/{self._loop.now}"))

    async def release(self, saga_id: str) -> Answer:
        """Somebody releases the saga."""
        return await self.ask(Release(saga_id, "go on", f"release/{self._loop.now}"))

    async def send(self, saga_id: str, name: str, value: Any) -> Answer:
        """Somebody sends a signal."""
        return await self.ask(Send(saga_id, name, value, f"send/{self._loop.now}"))

    async def try_again(self, saga_id: str, step: str) -> Answer:
        """An operator has the step, or its undo, tried again."""
        return await self.ask(TryAgain(saga_id, "again", f"again/{self._loop.now}", step=step))

    async def resolve(self, saga_id: str, step: str | None, outcome: e.Resolution, value: Any = None) -> Answer:
        """An operator says what is true."""
        request_id = f"resolve/{self._loop.now}"
        return await self.ask(Resolve(saga_id, "seen", request_id, step=step, outcome=outcome, value=value))

    def forget_definition(self, name: str) -> Manifest:
        """The store does not know this definition yet."""
        manifest = self._system.sealed[name].manifest
        del self._system.database.store._manifests[manifest.fingerprint]
        return manifest

    def know_definition(self, manifest: Manifest) -> None:
        """The store knows this definition."""
        store = self._system.database.store
        store._manifests[manifest.fingerprint] = manifest

    # What is seen

    async def seconds(self, seconds: float) -> None:
        """Let time pass."""
        await self._clock.sleep(seconds)

    async def until(self, holds: Callable[[], object], seconds: float = 60.0) -> None:
        """Let time pass until something holds."""
        end = self._loop.now + seconds
        while not holds():
            assert self._loop.now < end, f"it does not come to hold in {seconds:g} s:\n{self.timeline()}"
            await self._clock.sleep(LOOK_SECONDS)

    async def entered(self, step: str, attempt: int | None = None, *, role: Role = "step") -> Call:
        """Wait until a handler is entered."""
        await self.until(lambda: self.called(step, attempt, role=role))
        return self.called(step, attempt, role=role)[-1]

    def called(self, step: str, attempt: int | None = None, *, role: Role = "step") -> list[Call]:
        """The entries into a handler so far."""
        return [one for one in self.calls if (one.step, one.role) == (step, role) and attempt in (None, one.attempt)]

    def attempts(self, step: str, *, role: Role = "step") -> list[int]:
        """The attempts under which a handler was entered."""
        return [one.attempt for one in self.called(step, role=role)]

    def there(self, step: str) -> bool:
        """Whether the step's effect is there."""
        return any(key[1] == step for key in self.ledger.there)

    def known(self) -> list[str]:
        """The ids of all sagas."""
        return list(self._system.database.store.known())

    def head(self, saga_id: str) -> State:
        """The saga as it is committed."""
        return self._system.database.store.head(saga_id)

    def history(self, saga_id: str) -> list[Recorded]:
        """Its events, with their places."""
        return list(self._system.database.store._events[saga_id])

    def events(self, saga_id: str, kind: type[Ev], step: str | None = None) -> list[Ev]:
        """Its events of one kind."""
        found = [one.event for one in self.history(saga_id) if isinstance(one.event, kind)]
        return [event for event in found if step in (None, event.step)]

    def causes(self, saga_id: str, kind: type[e.Event], step: str | None = None) -> list[str | None]:
        """The causes of its events of one kind."""
        return [getattr(event, "cause", None) for event in self.events(saga_id, kind, step)]

    def desks(self, saga_id: str) -> list[tuple[str | None, str | None]]:
        """What waits for an operator: step and cause."""
        waits = self.head(saga_id).waits.values()
        return [(wait.step, wait.cause) for wait in waits if wait.kind == "operator"]

    def rows(self, saga_id: str) -> list[WaitRow]:
        """Its waits, as the store has them."""
        return list(self._system.database.store.rows_of(saga_id))

    async def status(self, saga_id: str, wanted: str, seconds: float = 60.0) -> None:
        """Wait until the saga has this status."""
        await self.until(lambda: self.head(saga_id).status == wanted, seconds)

    async def rest(self, seconds: float = 60.0) -> None:
        """Wait until everything has come to rest, and check what must hold then."""
        await self.until(lambda: self.checks.at_rest() and self.checks.all_read(), seconds)
        self.checks.finish()

    def timeline(self) -> str:
        """What happened, for people."""
        return "\n".join(self._system.trace.timeline())

    def _troubled(self) -> None:
        self.checks.troubled_until = inf

    def _process(self, name: str) -> Process:
        return self._system.processes[name]

    def _host(self, name: str) -> Host:
        return self._process(name).host

"""What lies between a host and a server: time that passes, and answers that do not come."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol, TypeVar

from amends.testing.simulator.hosts import NOWHERE, Host
from consumers.connections import at_once
from consumers.leases import RENEW_SECONDS, RETRY_SECONDS
from consumers.memory_server import MemoryServer
from consumers.memory_streams import Blocked
from consumers.wire import Claim, Command, Connected, Disconnected, ResponseError, renewed

T = TypeVar("T")
SPIKE_SECONDS = 0.05
SILENCE_SECONDS = 11.0
AT_ONCE = 0.7
"""How many answers take no time of their own: the way there has taken it."""


class Cancelled(Protocol):
    """Something that may be called off."""

    def cancel(self) -> object:
        """Call it off."""
        ...


class Times(Protocol):
    """A loop, simulated or not."""

    @property
    def now(self) -> float:
        """Its time, in seconds."""
        ...

    def later(self, seconds: float, call: Callable[..., object], *arguments: Any) -> Cancelled:
        """Call something after so many seconds, in no host."""
        ...

    def create_future(self) -> "asyncio.Future[Any]":
        """An answer to come."""
        ...


class RunningLoop:
    """The loop that runs, in real time: for tests that compare the server in memory with real ones."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.create_future = self._loop.create_future

    @property
    def now(self) -> float:
        """Its time."""
        return self._loop.time()

    def later(self, seconds: float, call: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """Call something later."""
        return self._loop.call_later(seconds, call, *arguments)


class Link:
    """The way from one host to one server. What is lost on it is lost for whoever asked, not always for the server."""

    def __init__(self, loop: Times, host: Host | None, rng: Random) -> None:
        self.host = host
        self.loop = loop
        self.generation = 0
        self.refused = False
        self.silent = False
        self.slow_seconds = 0.0
        self.frozen_until = 0.0
        self.lose_answers = 0
        self.lose_requests = 0
        self.asked = 0
        self.lost = 0
        """How often somebody asked, and what a fault took singly."""
        self._rng = rng
        self._open: dict[asyncio.Future[Any], None] = {}
        self._unheard: list[asyncio.Future[Any]] = []
        self.on_cut: list[Callable[[], object]] = []
        if host is not None:
            host.on_death.append(self.cut)

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._open)

    def seconds(self) -> float:
        """How long one way takes: mostly well below a millisecond, now and then much longer."""
        draw = self._rng.random()
        return 0.0001 + 0.0005 * draw + (SPIKE_SECONDS * draw if draw > 0.98 else 0.0) + self.slow_seconds * draw

    async def ask(self, run: Callable[[], T], give_up_seconds: float) -> T:
        """What `run` gives at the server.

        Raises:
            ConnectionRefusedError: the server is not there: nothing arrived. Disconnected: nobody knows.
        """
        loop = self.loop
        self.asked += 1
        if self.refused:
            await asyncio.sleep(self.seconds())
            raise ConnectionRefusedError("connection refused")
        answer: asyncio.Future[T] = loop.create_future()
        self._open[answer] = None
        loop.later(self.seconds(), self._arrive, run, answer, self.generation)
        if self.silent or loop.now < self.frozen_until:
            loop.later(give_up_seconds, _fail, answer)
        if self.silent:
            self._unheard.append(answer)
        try:
            return await answer
        finally:
            self._open.pop(answer, None)

    def cut(self) -> None:
        """Every connection breaks: what is on its way is lost, there or back."""
        self.generation += 1
        for call in self.on_cut:
            self.loop.later(self.seconds(), call)
        for answer in list(self._open):
            self.loop.later(self.seconds(), _fail, answer)

    def be_silent(self, give_up_seconds: float) -> None:
        """Nothing comes through any more, and nobody says so."""
        self.silent = True
        self.generation += 1
        for call in self.on_cut:  # the server ends what it hears nothing of
            self.loop.later(SILENCE_SECONDS, call)
        for answer in list(self._open):
            self.loop.later(give_up_seconds, _fail, answer)
        self._unheard += self._open

    def speak(self) -> None:
        """Everything comes through again, and who has waited in silence is told that nobody has heard them."""
        self.silent = False
        unheard, self._unheard = self._unheard, []
        for answer in unheard:
            self.loop.later(self.seconds(), _fail, answer)

    def freeze(self, seconds: float, give_up_seconds: float) -> None:
        """The server stands still; what arrives meanwhile it does afterwards, whether anybody waits for it or not."""
        self.frozen_until = max(self.frozen_until, self.loop.now + seconds)
        for answer in list(self._open):
            self.loop.later(give_up_seconds, _fail, answer)

    def _arrive(self, run: Callable[[], T], answer: "asyncio.Future[T]", generation: int) -> None:
        if self.loop.now < self.frozen_until:
            self.loop.later(self.frozen_until - self.loop.now + self.seconds(), self._arrive, run, answer, generation)
            return
        if self.refused or self.silent or generation != self.generation:
            return
        if self.lose_requests:
            self.lose_requests -= 1
            self.lost += 1
            self.cut()
            return
        try:
            found: Any = run()
        except Exception as error:  # noqa: BLE001 - what the server says
            self._deliver(answer, error, generation)
            return
        if isinstance(found, asyncio.Future):  # the server answers later
            later: asyncio.Future[Any] = found  # pyright: ignore[reportUnknownVariableType] # of anything
            later.add_done_callback(lambda done: self._deliver(answer, done.result(), generation), context=NOWHERE)
        else:
            self._deliver(answer, found, generation)

    def _deliver(self, answer: "asyncio.Future[Any]", found: Any, generation: int) -> None:
        """Send an answer back."""
        if self.lose_answers:
            self.lose_answers -= 1
            self.lost += 1
            self.cut()
        if generation != self.generation or self.silent:
            return
        if self._rng.random() < AT_ONCE:
            _settle(answer, found)
        else:
            self.loop.later(self.seconds(), _settle, answer, found)


def _settle(answer: "asyncio.Future[Any]", found: Any) -> None:
    if answer.done():
        return
    if isinstance(found, Exception):
        answer.set_exception(found)
    else:
        answer.set_result(found)


def _fail(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(Disconnected("the connection is lost"))


class StreamsServer:
    """The server of streams, as one host sees it."""

    def __init__(self, server: MemoryServer, link: Link, new_name: Callable[[], str]) -> None:
        self._server = server
        self._link = link
        self.new_name = new_name

    def connection(self, seconds: float, connected: Connected) -> "Connection":
        """A connection over this host's link."""
        return Connection(self._server, self._link, seconds, connected)

    def keeper(self, claim: Claim, lost: Callable[[str], None]) -> "Keeper":
        """Keep leases. The thread of a real one is asked by no loop; here its calls take no time."""
        return Keeper(self._ask, claim, lost)

    def _ask(self, command: Command) -> list[Any]:
        link = self._link
        if link.refused or link.silent or link.loop.now < link.frozen_until:
            raise OSError("no answer")
        try:
            return list(self._server.execute(command))
        except ResponseError:
            return []


class Connection:
    """A connection as the adapter has it, over a link."""

    def __init__(self, server: MemoryServer, link: Link, seconds: float, connected: Connected) -> None:
        self._server = server
        self._link = link
        self._seconds = seconds
        self._connected = connected
        self._generation: int | None = None
        self._before = False
        self._waits: Blocked | None = None
        link.on_cut.append(self._let_go)

    async def open(self) -> None:
        """Make it, unless it is there: that takes no time here."""

    async def ask(self, batch: Sequence[Command]) -> list[Any]:
        """Commands in one round trip, with errors among the answers. One that blocks comes alone."""
        if not batch:
            return []
        if self._generation != self._link.generation and not self._link.refused:
            self._generation = self._link.generation
            self._connected(self._before)
            self._before = True
        answers: list[Any] = await self._link.ask(lambda: self._all(batch), self._seconds)
        return answers

    def drop(self) -> None:
        """End it; the server sees that a little later."""
        self._generation = None
        self._link.loop.later(self._link.seconds(), self._let_go)

    async def close(self) -> None:
        """End it."""

    def _all(self, batch: Sequence[Command]) -> Any:
        count = at_once(batch)
        with self._server.together():
            answers: list[Any] = [self._one(command) for command in batch[:count]]
        answers += [self._one(command) for command in batch[count:]]
        blocks = isinstance(answers[0], asyncio.Future)
        found: Any = answers[0] if blocks else answers
        return found

    def _one(self, command: Command) -> Any:
        try:
            answer = self._server.execute(command)
        except ResponseError as refused:
            return refused
        if answer is None and command[0] == "XREADGROUP" and "BLOCK" in command:
            return self._block(command)
        return answer

    def _block(self, command: Command) -> "asyncio.Future[Any]":
        """At the server: wait for entries, at most so long. Who is gone meanwhile may be given some all the same."""
        loop = self._link.loop
        answer: asyncio.Future[Any] = loop.create_future()
        keys = command[command.index("STREAMS") + 1 :]

        def answered(found: Any) -> None:
            timer.cancel()
            if not answer.done():
                answer.set_result([found])

        blocked = Blocked(command, tuple(keys[: len(keys) // 2]), answered)

        def over() -> None:
            self._server.unblock(blocked)
            answered(None)

        timer = loop.later(command[command.index("BLOCK") + 1] / 1000, over)
        self._server.block(blocked)
        self._waits = blocked
        return answer

    def _let_go(self) -> None:
        """The server has seen that the connection is gone; until then it may have handed something out."""
        if self._waits is not None:
            self._server.unblock(self._waits)
            self._waits = None


class Keeper:
    """Renews by a timer of its host: one that stands still renews nothing."""

    def __init__(self, ask: Callable[[Command], list[Any]], claim: Claim, lost: Callable[[str], None]) -> None:
        self._ask = ask
        self._claim = claim
        self._lost = lost
        self._held: dict[str, None] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, entry: str) -> None:
        """Renew this entry from now on."""
        self._held[entry] = None
        if self._timer is None:
            self._timer = self._loop.call_later(RENEW_SECONDS, self._renew)

    def release(self, entry: str) -> None:
        """Stop renewing it."""
        self._held.pop(entry, None)

    async def renew(self) -> None:
        """Renew at once."""
        self._renew()

    def close(self) -> None:
        """Stop renewing anything."""
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _renew(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held = sorted(self._held)
        if not held:
            return
        pause = RENEW_SECONDS
        try:
            kept = set(renewed(self._ask, self._claim, held))
            for entry in held:
                if entry not in kept and entry in self._held:
                    self.release(entry)
                    self._loop.call_soon(self._lost, entry)
        except OSError:
            pause = RETRY_SECONDS
        self._timer = self._loop.call_later(pause, self._renew)

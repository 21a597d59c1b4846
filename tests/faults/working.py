"""A worker on virtual time, with a transport whose answers are lost, or old, at the wrong moment."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from pydantic import BaseModel

from amends import Saga
from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.execution import Surroundings
from consumers.inprocess import Broker, InProcessKeeper, InProcessTransport
from consumers.receiver import CommandDelivery
from consumers.worker import Worker, WorkerNumbers
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from sagas.inputs import Start, Word
from sagas.ports import TransportUnavailable
from sagas.records import replace
from sagas.seal import Sealed

SAGA = "01900000-0000-7000-8000-000000000001"
EPOCH = 1_767_225_600.0
LEASE_SECONDS = 4.0


class Order(BaseModel):
    id: int = 1


class Printer:
    """A resource that nobody can make here."""


class Troubled(InProcessTransport):
    """A worker's transport that loses answers when it is told to, and remembers when verdicts were sent."""

    fail_reads = 0
    lose_idle = False
    age_by_step: Mapping[str, float] = {}
    generous = False
    loses_after: float | None = None
    before_pending: Callable[[], Awaitable[None]] | None = None

    def __init__(self, broker: Broker, consumer: str) -> None:
        super().__init__(broker, consumer)
        self.sent: list[tuple[float, Word]] = []

    async def read(self, count: int, block_seconds: float) -> list[CommandDelivery]:
        """A read, unless it fails."""
        if self.fail_reads:
            self.fail_reads -= 1
            raise TransportUnavailable("reset")
        found = await super().read(9 if self.generous else count, block_seconds)
        return [replace(one, sent_at=one.sent_at - self.age_by_step.get(one.command.step, 0.0)) for one in found]

    def keeper(self, lost: Callable[[str], None]) -> InProcessKeeper:
        """Renews what is held; or its lease is lost so many seconds after it began."""
        kept = super().keeper(lost)
        renewing = kept.hold

        def hold(entry: str) -> None:
            renewing(entry)
            if self.loses_after is not None:
                loop, after, self.loses_after = asyncio.get_running_loop(), self.loses_after, None
                loop.call_soon(lost, entry) if not after else loop.call_later(after, lost, entry)

        kept.hold = hold  # type: ignore[method-assign]
        return kept

    async def own_pending(self) -> list[CommandDelivery]:
        """What is held, as it was before something else was waited for."""
        found = await super().own_pending()
        if found and self.before_pending is not None:
            await self.before_pending()
        return found

    async def idle(self, idle_seconds: float, count: int) -> list[CommandDelivery]:
        """What nobody renews; or it is claimed, and left alone because of a gap."""
        found = await super().idle(idle_seconds, count)
        if found and self.lose_idle:
            self.lose_idle = False
            self.fail_reads = 1
            return []
        return found

    async def send(self, words: Sequence[Word]) -> None:
        """Send, and remember when."""
        self.sent += [(asyncio.get_running_loop().time(), word) for word in words]
        await super().send(words)


class Stage:
    """One worker and an engine; nobody reads the outcomes."""

    def __init__(self, sealed: Sealed, *, room: int = 10) -> None:
        loop = asyncio.get_running_loop()
        self.clock, self.broker = LoopClock(), Broker()
        self.store = MemoryStore(lambda: EPOCH + loop.time())
        publisher = Publisher(self.store, InProcessTransport(self.broker, "o"), self.clock, LEASE_SECONDS)
        self.engine = Engine(self.store, self.clock, publisher)
        self.transport = Troubled(self.broker, "w")
        bound = {sealed.manifest.name: sealed}
        self.numbers = WorkerNumbers(concurrency=room)
        self.worker = Worker(self.transport, self.store, bound, Surroundings(worker="w"), self.engine, self.numbers)
        self.sealed = sealed

    async def start(self) -> None:
        await self.store.put_manifest(self.sealed.manifest)
        await self.engine.apply([Start(SAGA, self.sealed.manifest, {"id": 1})])


def play(saga: Saga[Order, None], scene: Callable[[Stage], Awaitable[None]], *, room: int = 10) -> None:
    """Let a worker run through a scene."""

    async def drive() -> None:
        stage = Stage(saga.seal(), room=room)
        running = asyncio.create_task(stage.worker.run())
        try:
            await scene(stage)
        finally:
            stage.worker.drain()
            await running

    run_virtual(drive)

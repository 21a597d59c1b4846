"""What a worker makes of reads that go wrong: nothing runs twice, nothing is left lying (rules C4, C6)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from amends import Context, Saga
from amends.identifiers import new_id
from consumers.execution import Surroundings
from consumers.receiver import CommandDelivery
from consumers.stream import RedisStreams
from consumers.worker import Worker
from sagas import events as e
from sagas.ports import TransportUnavailable
from sagas.seal import Sealed
from tests.integration.test_worker import LEASE, NUMBERS, Bench, Job, made

__all__ = ["made"]


class LosesAnswers(RedisStreams):
    """The server hands out, and the answer is lost on its way; once each."""

    lost: str = "read"
    cut: int = 0

    async def read(self, count: int, block_seconds: float) -> list[CommandDelivery]:
        """A read whose answer is lost, if it is to be."""
        found = await super().read(count, block_seconds)
        return self._cut(found) if self.lost == "read" else found

    async def idle(self, idle_seconds: float, count: int) -> list[CommandDelivery]:
        """A takeover whose answer is lost, if it is to be."""
        found = await super().idle(idle_seconds, count)
        return self._cut(found) if self.lost == "idle" else found

    def _cut(self, found: list[CommandDelivery]) -> list[CommandDelivery]:
        if found and not self.cut:
            self.cut += 1
            raise TransportUnavailable("the answer is lost")
        return found


class Generous(RedisStreams):
    """Gives more than was asked for, as a read over several streams may."""

    async def read(self, count: int, block_seconds: float) -> list[CommandDelivery]:
        """Ten more than there is room for."""
        return await super().read(count + 10, block_seconds)


@asynccontextmanager
async def worker(made: Bench, sealed: Sealed, receiver: RedisStreams, concurrency: int = 10) -> AsyncGenerator[Worker]:
    numbers = replace(NUMBERS, concurrency=concurrency)
    running = Worker(
        receiver, made.store, {sealed.manifest.name: sealed}, Surroundings(worker="w"), made.engine, numbers
    )
    task = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        running.drain()
        await task


async def test_a_command_whose_delivery_was_lost_runs_under_its_own_attempt(made: Bench) -> None:
    """rule_C6: never entered here, so it is run, with the check of rule_C3."""
    saga = Saga("lost_read", input=Job)
    attempts: list[int] = []

    @saga.step("work")
    async def work(request: Job, context: Context) -> None:
        attempts.append(context.attempt)

    receiver = LosesAnswers(made.redis_url, f"w-{new_id()}")
    async with worker(made, saga.seal(), receiver):
        saga_id = await made.start(saga.seal())
        assert (await made.ended(saga_id, 2 * LEASE)).status == "completed"
    assert (receiver.cut, attempts) == (1, [1])
    assert await made.events(saga_id, e.StepOutcomeUnknown) == []


async def test_a_takeover_whose_answer_was_lost_never_runs_what_it_took(made: Bench) -> None:
    """rule_C6, rule_L2: it may have been entered by who held it before."""
    saga = Saga("lost_idle", input=Job)
    attempts: list[int] = []

    @saga.step("work")
    async def work(request: Job, context: Context) -> None:
        attempts.append(context.attempt)

    dead = RedisStreams(made.redis_url, "dead")
    await dead.open(["default"])
    saga_id = await made.start(saga.seal())
    assert len(await dead.read(1, 2.0)) == 1
    receiver = LosesAnswers(made.redis_url, f"w-{new_id()}")
    receiver.lost = "idle"
    async with worker(made, saga.seal(), receiver):
        assert (await made.ended(saga_id)).status == "completed"
    (lost,) = await made.events(saga_id, e.StepOutcomeUnknown)
    assert (receiver.cut, lost.cause, attempts) == (1, "worker_lost", [2])
    await dead.close()


async def test_no_more_run_at_once_than_there_is_room_for(made: Bench) -> None:
    saga = Saga("bounded", input=Job)
    running: set[str] = set()
    most: list[int] = []

    @saga.step("work")
    async def work(request: Job, context: Context) -> None:
        running.add(context.saga_id)
        most.append(len(running))
        for _ in range(20):
            await asyncio.get_running_loop().run_in_executor(None, int)
        running.discard(context.saga_id)

    sealed = saga.seal()
    sagas = [await made.start(sealed) for _ in range(30)]
    async with worker(made, sealed, Generous(made.redis_url, f"w-{new_id()}"), concurrency=2):
        for saga_id in sagas:
            assert (await made.ended(saga_id)).status == "completed"
            assert await made.events(saga_id, e.StepOutcomeUnknown) == []
    assert max(most) == 2

"""What a worker makes of reads that go wrong: nothing runs twice, nothing is left lying (rules C4, C6)."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from amends import Context, Retry, Saga
from amends.identifiers import new_id
from consumers.execution import Surroundings
from consumers.receiver import CommandDelivery
from consumers.stream import RedisStreams
from consumers.worker import Worker
from sagas import events as e
from sagas.inputs import Answer, Input, Outcome, Word
from sagas.ports import TransportUnavailable
from sagas.seal import Sealed
from tests.acceptance.running import until
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


class AwayAtFirst(RedisStreams):
    """The server is away while the worker starts; its groups exist already."""

    away = 2

    async def open(self, queues: Sequence[str]) -> None:
        """Open, at the third try."""
        if self.away:
            self.away -= 1
            raise TransportUnavailable("away")
        await super().open(queues)


async def test_a_worker_that_starts_while_redis_is_away_begins_when_it_is_back(made: Bench) -> None:
    saga = Saga("late_start", input=Job)
    attempts: list[int] = []

    @saga.step("work")
    async def work(request: Job, context: Context) -> None:
        attempts.append(context.attempt)

    other = RedisStreams(made.redis_url, "other")
    await other.open(["default"])
    async with worker(made, saga.seal(), AwayAtFirst(made.redis_url, f"w-{new_id()}")):
        saga_id = await made.start(saga.seal())
        assert (await made.ended(saga_id)).status == "completed"
    assert attempts == [1]
    await other.close()


class AwayAtLast(RedisStreams):
    """The server takes no outcome."""

    async def send(self, words: Sequence[Word]) -> None:
        """No answer."""
        raise TransportUnavailable("away")


async def test_a_drain_ends_while_redis_is_away_and_what_was_done_is_known(made: Bench) -> None:
    """rule_L6: what the stream does not take goes to the engine."""
    saga = Saga("drained", input=Job)

    @saga.step("work")
    async def work(request: Job) -> None: ...

    began = asyncio.get_running_loop().time()
    async with worker(made, saga.seal(), AwayAtLast(made.redis_url, f"w-{new_id()}")) as running:
        saga_id = await made.start(saga.seal())
        await until(lambda: running_count(running), 10)
    assert asyncio.get_running_loop().time() - began < 20
    assert (await made.ended(saga_id, 5)).status == "completed"


async def running_count(running: Worker) -> int:
    """How many commands are not settled yet."""
    return len(running.running)


async def test_the_late_word_of_a_thread_goes_to_the_engine_itself(made: Bench) -> None:
    """rule_L3, rule_C5: a flush could lose it from the stream, and no wait would ask again."""
    saga = Saga("late_thread", input=Job)

    @saga.step("work", timeout=0.3, retry=Retry(delays=[]))
    def work(request: Job) -> int:
        time.sleep(request.wait)
        return 7

    @work.undo
    async def take_back(result: int | None) -> None: ...

    applied: list[object] = []

    class Spy:
        """The engine, overheard."""

        async def apply(self, inputs: Sequence[Input]) -> Sequence[Answer]:
            """Apply and remember."""
            applied.extend(inputs)
            return await made.engine.apply(inputs)

    async def in_thread(function: Callable[..., Any], arguments: Any) -> Any:
        return await asyncio.to_thread(lambda: function(**arguments))

    sealed = saga.seal()
    here = Surroundings(run_in_thread=in_thread, worker="w")
    receiver = RedisStreams(made.redis_url, f"w-{new_id()}")
    running = Worker(receiver, made.store, {"late_thread": sealed}, here, Spy(), NUMBERS)
    task = asyncio.create_task(running.run())
    saga_id = await made.start(sealed, wait=1.0)

    async def told() -> bool:
        return any(isinstance(word, Outcome) and word.kind == "succeeded" for word in applied)

    await until(told, 10)
    await until(lambda: made.events(saga_id, e.LateOutcomeSeen), 10)
    running.drain()
    await task


async def test_a_function_that_never_got_a_thread_is_never_entered(made: Bench) -> None:
    """rule_L5: given up while it queued, it is refused, and its next attempt runs."""
    saga = Saga("queued", input=Job)
    entered: list[tuple[str, int]] = []

    @saga.step("work", timeout=0.5)
    def work(request: Job, context: Context) -> None:
        entered.append((context.saga_id, context.attempt))
        time.sleep(request.wait)

    sealed = saga.seal()
    with ThreadPoolExecutor(1) as threads:

        async def in_thread(function: Callable[..., Any], arguments: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(threads, lambda: function(**arguments))

        here = Surroundings(run_in_thread=in_thread, worker="w")
        receiver = RedisStreams(made.redis_url, f"w-{new_id()}")
        running = Worker(receiver, made.store, {"queued": sealed}, here, made.engine, NUMBERS)
        task = asyncio.create_task(running.run())
        await made.start(sealed, wait=1.5)
        await until(lambda: has(entered), 10)
        second = await made.start(sealed)
        assert (await made.ended(second)).status == "completed"
        running.drain()
        await task
    refused = await made.events(second, e.StepRefused)
    assert {entry.reason for entry in refused} == {"busy"}
    assert [attempt for saga_id, attempt in entered if saga_id == second] == [len(refused) + 1]


async def has(found: list[Any]) -> bool:
    """Whether there is anything yet."""
    return bool(found)

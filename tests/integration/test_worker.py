"""The worker service on real Valkey and PostgreSQL: leases, takeover, refusals, drain, memory lost."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Context, Permanent, Retry, Saga
from amends.clock import LoopClock
from amends.identifiers import new_id
from consumers.execution import Surroundings, outcome_of
from consumers.stream import RedisStreams
from consumers.worker import Worker, WorkerNumbers
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from sagas import events as e
from sagas.inputs import Start
from sagas.numbers import Numbers
from sagas.seal import Sealed
from sagas.state import State
from tests.acceptance.running import until
from tests.servers import raw_redis

LEASE = 3.0
NUMBERS = WorkerNumbers(lease_seconds=LEASE, look_for_idle_seconds=0.1, started_after_seconds=0.2, block_seconds=0.2)


class Job(BaseModel):
    wait: float = 0.0


@dataclass
class Bench:
    """Two servers, an orchestrator, and as many workers as a test wants."""

    store: PostgresStore
    redis_url: str
    engine: Engine
    streams: RedisStreams

    @asynccontextmanager
    async def worker(self, sealed: Sealed, **changes: Any) -> AsyncGenerator[Worker]:
        receiver = RedisStreams(self.redis_url, f"w-{new_id()}")

        async def in_thread(function: Callable[..., Any], arguments: Any) -> Any:
            return await asyncio.to_thread(lambda: function(**arguments))

        here = Surroundings(run_in_thread=in_thread, worker="w")
        numbers = replace(NUMBERS, **changes)
        worker = Worker(receiver, self.store, {sealed.manifest.name: sealed}, here, self.engine, numbers)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.drain()
            await running

    async def start(self, sealed: Sealed, **value: Any) -> str:
        await self.store.put_manifest(sealed.manifest)
        word = Start(new_id(), sealed.manifest, sealed.normalise(value))
        await self.engine.apply([word])
        return word.saga_id

    async def ended(self, saga_id: str, seconds: float = 40) -> State:
        async def done() -> State | None:
            head = (await self.store.heads([saga_id]))[saga_id]
            return head if head.status != "active" else None

        return await until(done, seconds)

    async def events(self, saga_id: str, kind: type[e.Event]) -> list[Any]:
        return [entry.event for entry in await self.store.history(saga_id) if isinstance(entry.event, kind)]


@pytest.fixture
async def made(database_url: str, redis_url: str) -> AsyncGenerator[Bench]:
    store = await PostgresStore.open(database_url)
    streams = RedisStreams(redis_url, "o")
    clock = LoopClock()
    publisher = Publisher(store, streams, clock, LEASE)
    streams.on_memory_lost(store.memory_lost)
    engine = Engine(store, clock, publisher, Numbers(lease_seconds=LEASE))
    orchestrator = Orchestrator(store, streams, clock, engine, publisher)
    running = asyncio.create_task(orchestrator.run())
    yield Bench(store, redis_url, engine, streams)
    orchestrator.stop()
    await running
    await streams.close()
    await store.close()


async def test_a_handler_that_blocks_the_loop_keeps_its_lease(made: Bench) -> None:
    """rule_L1."""
    saga = Saga("blocking", input=Job)

    @saga.step("block")
    async def block(request: Job) -> None:
        until_then = time.monotonic() + request.wait
        while time.monotonic() < until_then:
            pass

    async with made.worker(saga.seal()), made.worker(saga.seal()):
        saga_id = await made.start(saga.seal(), wait=2 * LEASE)
        assert (await made.ended(saga_id)).status == "completed"
    assert await made.events(saga_id, e.StepOutcomeUnknown) == []


async def test_a_lost_workers_step_runs_again_and_its_late_word_is_evidence(made: Bench) -> None:
    """rule_L2, rule_O4."""
    saga = Saga("losing", input=Job)
    attempts: list[int] = []

    @saga.step("work")
    async def work(request: Job, context: Context) -> int:
        attempts.append(context.attempt)
        return context.attempt

    sealed = saga.seal()
    dead = RedisStreams(made.redis_url, "dead")
    await dead.open(["default"])
    saga_id = await made.start(sealed)
    (taken,) = await dead.read(1, 2.0)
    async with made.worker(sealed):
        assert (await made.ended(saga_id)).status == "completed"
    (lost,) = await made.events(saga_id, e.StepOutcomeUnknown)
    assert lost.cause == "worker_lost"
    assert attempts == [2], "a takeover never runs the attempt that it judges"
    assert await dead.settle([taken.entry]) == [False]
    await dead.close()


async def test_poison_ends_after_three_lost_workers(made: Bench) -> None:
    saga = Saga("poison", input=Job)

    @saga.step("work")
    async def work(request: Job) -> None: ...

    sealed = saga.seal()
    dead = RedisStreams(made.redis_url, "dead")
    await dead.open(["default"])
    saga_id = await made.start(sealed)
    for _ in range(3):
        await until(lambda: dead.read(1, 0.5), 10)
        judge = RedisStreams(made.redis_url, "judge")
        await judge.open(["default"])
        (found,) = await until(lambda judge=judge: judge.idle(0.0, 1), 10)  # type: ignore[misc]
        await judge.send([replace(outcome_of(found.command), kind="unknown", cause="worker_lost")])
        await judge.settle([found.entry])
        await judge.close()
    state = await made.ended(saga_id)
    assert state.status == "compensated"
    assert state.step("work").workers_lost == 3
    await dead.close()


async def test_a_step_without_a_handler_is_refused_and_waits_for_one(made: Bench) -> None:
    """rule_C7."""
    saga, partial = Saga("whole", input=Job), Saga("whole", input=Job)

    @saga.step("work")
    async def work(request: Job) -> None: ...

    @partial.step("other")
    async def other(request: Job) -> None: ...

    saga_id = ""
    async with made.worker(partial.seal()):
        saga_id = await made.start(saga.seal())
        await until(lambda: made.events(saga_id, e.StepRefused), 10)
    async with made.worker(saga.seal()):
        assert (await made.ended(saga_id)).status == "completed"
    refused = await made.events(saga_id, e.StepRefused)
    assert refused[0].reason == "no_handler"
    (succeeded,) = await made.events(saga_id, e.StepSucceeded)
    assert succeeded.attempt == len(refused) + 1


async def test_drain_ends_what_runs_and_refuses_what_was_not_entered(made: Bench) -> None:
    """rule_L6."""
    saga = Saga("draining", input=Job)

    @saga.step("work", timeout=20)
    async def work(request: Job) -> None:
        async with asyncio.timeout(request.wait + 5):
            await asyncio.get_running_loop().run_in_executor(None, time.sleep, request.wait)

    sealed = saga.seal()
    async with made.worker(sealed):
        saga_id = await made.start(sealed, wait=1.0)
        await until(lambda: made.events(saga_id, e.StepStarted), 10)
    assert (await made.ended(saga_id)).status == "completed"
    assert await made.events(saga_id, e.StepOutcomeUnknown) == []


async def test_drain_reports_what_takes_too_long_and_it_runs_again(made: Bench) -> None:
    saga = Saga("slow", input=Job)
    attempts: list[int] = []

    @saga.step("work", timeout=20)
    async def work(request: Job, context: Context) -> None:
        attempts.append(context.attempt)
        if context.attempt == 1:
            await asyncio.get_running_loop().create_future()

    sealed = saga.seal()
    async with made.worker(sealed, drain_seconds=0.2):
        saga_id = await made.start(sealed)
        await until(lambda: made.events(saga_id, e.StepStarted), 10)
    async with made.worker(sealed):
        assert (await made.ended(saga_id)).status == "completed"
    (unknown,) = await made.events(saga_id, e.StepOutcomeUnknown)
    assert (unknown.cause, attempts) == ("drained", [1, 2])


async def test_a_plain_function_runs_in_a_thread_beside_others(made: Bench) -> None:
    """def_R20."""
    saga = Saga("threads", input=Job)

    @saga.step("one")
    def one(request: Job) -> int:
        time.sleep(request.wait)
        return 1

    @saga.step("two")
    def two(request: Job) -> int:
        time.sleep(request.wait)
        return 2

    sealed = saga.seal()
    async with made.worker(sealed):
        saga_id = await made.start(sealed, wait=0.1)
        assert (await made.ended(saga_id)).status == "completed"


async def test_a_thread_that_outlives_its_timeout_says_so_and_is_undone(made: Bench) -> None:
    """rule_L3, rule_O4, def_R20."""
    saga = Saga("outliving", input=Job)
    undone: list[int] = []

    @saga.step("work", timeout=0.3, retry=Retry(delays=[]))
    def work(request: Job) -> int:
        time.sleep(request.wait)
        return 7

    @work.undo
    async def take_back(result: int | None, context: Context) -> None:
        undone.append(context.attempt)

    sealed = saga.seal()
    async with made.worker(sealed):
        saga_id = await made.start(sealed, wait=1.2)
        assert (await made.ended(saga_id)).status == "compensating"
        (late,) = await until(lambda: made.events(saga_id, e.LateOutcomeSeen), 10)

        async def compensated() -> bool:
            return (await made.store.heads([saga_id]))[saga_id].status == "compensated"

        await until(compensated, 20)
    assert (late.outcome, late.result, late.reopens) == ("succeeded", 7, True)
    assert undone


async def test_a_result_that_cannot_be_stored_is_unknown_for_good(made: Bench) -> None:
    saga = Saga("nul", input=Job)

    @saga.step("work")
    async def work(request: Job) -> list[str]:
        return ["fine", "a\x00b"]

    sealed = saga.seal()
    async with made.worker(sealed):
        state = await made.ended(await made.start(sealed))
    assert state.error is not None
    assert "field '[1]': holds a NUL" in state.error["message"]


async def test_a_bad_argument_is_permanent_and_names_step_and_field(made: Bench) -> None:
    class Wide(BaseModel):
        n: int

    saga, strict = Saga("args", input=Job), Saga("args", input=Job)

    @saga.step("first")
    async def first(request: Job) -> dict[str, int]:
        return {"m": 1}

    @saga.step("second")
    async def second(first: dict[str, int]) -> None: ...

    @strict.step("first")
    async def first_again(request: Job) -> dict[str, int]:
        return {"m": 1}

    @strict.step("second")
    async def narrow(first: dict[str, int]) -> None:
        raise Permanent("never called")

    handlers = dict(strict.seal().handlers)
    other = Saga("narrow", input=Job)

    @other.step("first")
    async def wide(request: Job) -> Wide:
        return Wide(n=1)

    @other.step("second")
    async def takes(first: Wide) -> None: ...

    handlers["second", "step"] = other.seal().handlers["second", "step"]
    async with made.worker(replace(strict.seal(), handlers=handlers)):
        saga_id = await made.start(saga.seal())
        state = await made.ended(saga_id)
    assert state.error is not None
    assert state.error["message"] == "step 'second', parameter 'first', field 'n': Field required"
    assert state.error["retryable"] is False


async def test_a_flushed_server_loses_nothing(made: Bench) -> None:
    """NOGROUP makes groups anew and has every sent command looked for (of rule_L7)."""
    saga = Saga("flushed", input=Job)

    @saga.step("work")
    async def work(request: Job, context: Context) -> None: ...

    sealed = saga.seal()
    client = raw_redis(made.redis_url)
    sagas = [await made.start(sealed) for _ in range(20)]
    await client.flushall()
    async with made.worker(sealed):
        for saga_id in sagas:
            assert (await made.ended(saga_id, 60)).status == "completed"
    await client.aclose()

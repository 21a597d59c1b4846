"""A server that remembers less than it did, stands still, or is full: nothing runs twice and nothing waits for ever."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from math import inf
from typing import Any

import pytest

from amends import Context, Saga
from amends.clock import LoopClock
from amends.identifiers import new_id
from consumers import stream
from consumers.execution import Surroundings
from consumers.memory import MARKER
from consumers.receiver import CommandDelivery
from consumers.stream import RedisStreams
from consumers.worker import Worker
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from sagas.inputs import Start
from sagas.state import State
from tests.acceptance.running import until
from tests.conformance.transports import COMMAND
from tests.integration.test_worker import LEASE, NUMBERS, Job
from tests.servers import raw_redis


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[PostgresStore]:
    opened = await PostgresStore.open(database_url)
    yield opened
    await opened.close()


async def test_a_server_that_was_started_again_has_another_memory(redis_url: str) -> None:
    """rule_L7: the marker is there, but the run that wrote it is not; entries of before are not current."""
    told: list[str] = []

    async def lost(incarnation: str) -> None:
        told.append(incarnation)

    sender, worker = RedisStreams(redis_url, "o"), RedisStreams(redis_url, "w")
    worker.on_memory_lost(lost)
    await worker.open(["default"])
    before = await worker.look()
    await sender.publish([COMMAND], inf)
    client = raw_redis(redis_url)
    await client.set(MARKER, f"{before}:another-run:another-replication")
    await client.xadd("amends:{q-default}:commands:low", {"b": b"{}"})
    await worker.close()

    again = RedisStreams(redis_url, "w2")
    again.on_memory_lost(lost)
    await again.open(["default"])
    assert await again.look() != before
    (delivery,) = await again.read(9, 1.0)
    assert not delivery.current
    await sender.close()
    await again.close()
    await client.aclose()


@pytest.fixture(params=["redis_url", "oldest_redis_url"])
def server_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


async def as_if_started_again(url: str, incarnation: str) -> None:
    """All connections end, and the marker is one that another run of the server wrote."""
    client = raw_redis(url)
    await client.set(MARKER, f"{incarnation}:another-run:another-replication")
    await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await client.aclose()


async def test_a_server_that_was_started_again_between_two_commands_is_met_before_the_first_entry(
    server_url: str,
) -> None:
    """rule_L7, rule_C3: nothing failed, for no command was out, and the client connects again by itself."""
    told: list[str] = []

    async def lost(incarnation: str) -> None:
        told.append(incarnation)

    sender, worker = RedisStreams(server_url, "o"), RedisStreams(server_url, "w")
    worker.on_memory_lost(lost)
    await worker.open(["default"])
    before = await worker.look()
    assert await worker.read(1, 0) == []
    await sender.publish([COMMAND], inf)
    await as_if_started_again(server_url, before)
    (delivery,) = await worker.read(1, 0)
    assert (delivery.first_sent, delivery.current) == (True, False)
    assert told == [await worker.look()]
    await sender.publish([COMMAND], inf)  # under the old one still: it is met with the next
    await sender.publish([COMMAND], inf)
    assert [entry.current for entry in await worker.read(9, 1.0)] == [False, True]
    await sender.close()
    await worker.close()


async def test_a_look_notices_another_run_whose_connections_lived_on(server_url: str) -> None:
    """rule_L7: the marker is compared with the server's own run, not with what was known of it."""
    streams = RedisStreams(server_url, "api")
    before = await streams.look()
    client = raw_redis(server_url)
    await client.set(MARKER, f"{before}:another-run:another-replication")
    assert await streams.look() != before
    await streams.close()
    await client.aclose()


async def test_a_connection_that_was_made_again_is_a_gap(redis_url: str) -> None:
    """rule_L4: the server was away, so nobody could renew."""
    streams = RedisStreams(redis_url, "w", lease_seconds=60.0)
    other, sender = RedisStreams(redis_url, "other"), RedisStreams(redis_url, "o")
    for worker in (streams, other):
        await worker.open(["default"])
    await sender.publish([COMMAND], inf)
    assert len(await other.read(1, 1.0)) == 1
    before = await streams.look()
    await as_if_started_again(redis_url, before)
    assert await streams.idle(0.0, 9) == []
    for each in (streams, other, sender):
        await each.close()


async def test_a_flush_is_noticed_within_a_second_by_who_only_looks(redis_url: str) -> None:
    told: list[str] = []

    async def lost(incarnation: str) -> None:
        told.append(incarnation)

    streams = RedisStreams(redis_url, "api")
    streams.on_memory_lost(lost)
    before = await streams.look()
    client = raw_redis(redis_url)
    await client.flushall()
    after = await streams.look()
    assert (told, after != before) == ([after], True)
    await streams.close()
    await client.aclose()


class FlushesAfterSettling(RedisStreams):
    """The server is flushed between the worker's last word and the orchestrator's read."""

    flushed = False

    def __init__(self, url: str, consumer: str) -> None:
        super().__init__(url, consumer)
        self._url = url

    async def settle(self, entries: Sequence[str]) -> list[bool]:
        """Settle, and let everything be forgotten."""
        answers = await super().settle(entries)
        if not self.flushed:
            self.flushed = True
            client = raw_redis(self._url)
            await client.flushall()
            await client.aclose()
        return answers


async def test_an_outcome_that_was_flushed_before_anybody_read_it_is_said_again(
    store: PostgresStore, redis_url: str
) -> None:
    """rule_L7: a step that ran to its end does not run again."""
    saga = Saga("flushed_outcome", input=Job)
    attempts: list[int] = []

    @saga.step("work")
    async def work(request: Job, context: Context) -> None:
        attempts.append(context.attempt)

    sealed = saga.seal()
    await store.put_manifest(sealed.manifest)
    clock, streams = LoopClock(), RedisStreams(redis_url, "engine")
    engine = Engine(store, clock, Publisher(store, streams, clock, LEASE))
    receiver = FlushesAfterSettling(redis_url, "w")
    worker = Worker(receiver, store, {"flushed_outcome": sealed}, Surroundings(worker="w"), engine, NUMBERS)
    task = asyncio.create_task(worker.run())
    word = Start(new_id(), sealed.manifest, {})
    await engine.apply([word])

    async def completed() -> State | None:
        head = (await store.heads([word.saga_id]))[word.saga_id]
        return head if head.status == "completed" else None

    await until(completed, 10)
    assert attempts == [1]
    worker.drain()
    await task
    await streams.close()


async def test_nobody_takes_over_for_one_lease_after_a_gap(redis_url: str) -> None:
    """rule_L4: the server stood still, so who renews could not."""
    holder, other, sender = (RedisStreams(redis_url, name, lease_seconds=1.5) for name in ("a", "b", "o"))
    for worker in (holder, other):
        await worker.open(["default"])
    await sender.publish([COMMAND], inf)
    assert len(await holder.read(1, 1.0)) == 1
    client = raw_redis(redis_url)
    await client.execute_command("CLIENT", "PAUSE", 900, "ALL")
    assert await other.idle(0.1, 9) == []
    assert await other.idle(0.1, 9) == []

    async def taken() -> bool:
        return bool(await other.idle(0.1, 9))

    began = asyncio.get_running_loop().time()
    await until(taken, 5)
    assert asyncio.get_running_loop().time() - began >= 1.0
    for streams in (holder, other, sender):
        await streams.close()
    await client.aclose()


async def test_a_read_that_takes_longer_than_it_may_block_is_a_gap(redis_url: str) -> None:
    """rule_L4: the time that it may block does not count, what comes on top of it does."""
    holder, other, sender = (RedisStreams(redis_url, name, lease_seconds=1.5) for name in ("a", "b", "o"))
    for worker in (holder, other):
        await worker.open(["default"])
    await sender.publish([COMMAND, COMMAND], inf)
    assert len(await holder.read(2, 1.0)) == 2
    assert await other.read(1, 1.0) == []
    assert len(await other.idle(0.1, 1)) == 1
    client = raw_redis(redis_url)
    await client.execute_command("CLIENT", "PAUSE", 900, "ALL")
    assert await other.read(1, 0) == []
    assert await other.idle(0.0, 1) == []
    for streams in (holder, other, sender):
        await streams.close()
    await client.aclose()


class SettlesMeanwhile(RedisStreams):
    """Settles what it holds between the two questions of `own_pending`."""

    async def own_pending(self) -> list[CommandDelivery]:
        """What it holds, asked slowly."""
        many = self._wire.many

        async def slow(batch: Sequence[Any], forgiven: str | tuple[str, ...] = ()) -> list[Any]:
            answers = await many(batch, forgiven)
            if batch[0][0] == "XPENDING":
                self._wire.many = many  # type: ignore[method-assign]
                pending = dict(zip((key for _, key, *_ in batch), answers, strict=True))
                await self.settle([f"{key} {held[0][0].decode()}" for key, held in pending.items() if held])
            return answers

        self._wire.many = slow  # type: ignore[method-assign]
        return await super().own_pending()


async def test_what_was_settled_while_it_was_asked_for_is_not_taken_for_lost(redis_url: str) -> None:
    """rule_L7: only an entry that is pending without a body was deleted by somebody else."""
    told: list[str] = []

    async def lost(incarnation: str) -> None:
        told.append(incarnation)

    sender, worker = RedisStreams(redis_url, "o"), SettlesMeanwhile(redis_url, "w")
    worker.on_memory_lost(lost)
    await worker.open(["default"])
    await sender.publish([COMMAND], inf)
    assert len(await worker.read(1, 1.0)) == 1
    assert await worker.own_pending() == []
    assert told == []
    await sender.publish([COMMAND], inf)
    (delivery,) = await worker.read(1, 1.0)
    client = raw_redis(redis_url)
    await client.xdel(*delivery.entry.split(" "))
    assert await RedisStreams.own_pending(worker) == []
    assert told == [""]
    await sender.close()
    await worker.close()
    await client.aclose()


async def test_a_stream_that_is_full_takes_no_more_until_there_is_room(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rule_C9."""
    monkeypatch.setattr(stream, "HIGH_WATER", 3)
    sender, worker = RedisStreams(redis_url, "o"), RedisStreams(redis_url, "w")
    await worker.open(["default"])
    assert None not in await sender.publish([COMMAND] * 3, inf)
    assert await sender.publish([COMMAND], inf) == [None]
    assert await sender.full() == [("default", "normal")]
    held = await worker.read(9, 1.0)
    await worker.settle([delivery.entry for delivery in held])
    assert await sender.full() == []
    assert None not in await sender.publish([COMMAND], inf)
    await sender.close()
    await worker.close()


async def test_marked_commands_of_full_queues_stay_marked(store: PostgresStore) -> None:
    saga = Saga("marked", input=Job)

    @saga.step("one", queue="alpha")
    async def one(request: Job) -> None: ...

    @saga.step("two", queue="beta")
    async def two(request: Job) -> None: ...

    sealed = saga.seal()
    await store.put_manifest(sealed.manifest)
    engine = Engine(store, LoopClock())
    async with store.pool.acquire() as connection, connection.transaction():
        await engine.start_within(Start(new_id(), sealed.manifest, {}), connection)
    (taken,) = await store.take_unsent(9, [("alpha", "normal")])
    assert taken.queue == "beta"
    (later,) = await store.take_unsent(9)
    assert later.queue == "alpha"

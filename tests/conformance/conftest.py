"""The stores: in memory and PostgreSQL. The transports: in this process, over a server in memory, Valkey, Redis 6.2."""

import time
from collections.abc import AsyncGenerator
from itertools import count
from random import Random
from typing import Any

import pytest

from amends.testing.simulator.network import Link, RunningLoop, StreamsServer
from consumers.inprocess import Broker, InProcessTransport
from consumers.memory_server import MemoryServer
from consumers.stream import RedisStreams
from eventstore.memory import MemoryStore
from eventstore.postgres import PostgresStore
from sagas.ports import Store
from tests.conformance.replicas import RealReplica, Replica, ReplicaInMemory
from tests.conformance.test_store import MANIFEST
from tests.conformance.transports import Connect, Raw, Transport
from tests.servers import raw_redis


@pytest.fixture
async def memory_store() -> Store:
    made = MemoryStore(time.time)
    await made.put_manifest(MANIFEST)
    return made


@pytest.fixture
async def postgres_store(database_url: str) -> AsyncGenerator[Store]:
    opened = await PostgresStore.open(database_url)
    await opened.put_manifest(MANIFEST)
    yield opened
    await opened.close()


@pytest.fixture(params=["memory_store", "postgres_store"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each test runs once for each store."""
    found: Store = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def in_process() -> Connect:
    broker = Broker()
    return lambda consumer: InProcessTransport(broker, consumer)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer(time.time)


@pytest.fixture
def links() -> list[Link]:
    """The ways to servers in memory."""
    return []


@pytest.fixture
async def in_memory(server: MemoryServer, links: list[Link]) -> Connect:
    """The production adapter over the server in memory: what the simulator runs."""
    return over(server, links)


@pytest.fixture
def oldest_memory() -> MemoryServer:
    return MemoryServer(time.time, oldest=True)


@pytest.fixture
async def oldest_in_memory(oldest_memory: MemoryServer, links: list[Link]) -> Connect:
    """The same over one that keeps deleted entries pending, as Redis 6.2."""
    return over(oldest_memory, links)


def over(server: MemoryServer, links: list[Link]) -> Connect:
    names = count(1)

    def connect(consumer: str) -> Transport:
        links.append(Link(RunningLoop(), None, Random(1)))
        return RedisStreams(StreamsServer(server, links[-1], lambda: str(next(names))), consumer)

    return connect


async def connections(url: str) -> AsyncGenerator[Connect]:
    made: list[RedisStreams] = []

    def connect(consumer: str) -> Transport:
        made.append(RedisStreams(url, consumer))
        return made[-1]

    yield connect
    for streams in made:
        await streams.close()


@pytest.fixture
async def valkey(redis_url: str) -> AsyncGenerator[Connect]:
    async for connect in connections(redis_url):
        yield connect


@pytest.fixture
async def oldest(oldest_redis_url: str) -> AsyncGenerator[Connect]:
    async for connect in connections(oldest_redis_url):
        yield connect


def by_hand(server: MemoryServer, command: tuple[Any, ...]) -> Any:
    """What the server in memory has a method for, and no command."""
    match command:
        case ("FLUSHALL",):
            return server.flush()
        case ("DEL", "amends:{marker}"):
            memory = server.snapshot()
            memory.values.clear()
            return server.restart(memory)
        case ("CONFIG", "SET", "maxmemory", most):
            server.refusing = most > 0
            return None
        case _:
            return server.execute(command)


@pytest.fixture(params=["in_memory", "oldest_in_memory", "valkey", "oldest"])
def replicated(request: pytest.FixtureRequest) -> tuple[Connect, Replica]:
    """A transport, and a replica of its server that may take over with what it had at its last copy."""
    url = {"valkey": "redis_url", "oldest": "oldest_redis_url"}.get(request.param)
    if url is not None:
        replica: Replica = RealReplica(raw_redis(request.getfixturevalue(url)))
    else:
        which = "oldest_memory" if request.param == "oldest_in_memory" else "server"
        replica = ReplicaInMemory(request.getfixturevalue(which), request.getfixturevalue("links"))
    return request.getfixturevalue(request.param), replica


@pytest.fixture(params=["in_memory", "oldest_in_memory", "valkey", "oldest"])
def remote(request: pytest.FixtureRequest) -> tuple[Connect, Raw]:
    """A transport, and commands by hand at its server."""
    url = {"valkey": "redis_url", "oldest": "oldest_redis_url"}.get(request.param)

    async def raw(*command: Any) -> Any:
        if url is None:
            which = "oldest_memory" if request.param == "oldest_in_memory" else "server"
            return by_hand(request.getfixturevalue(which), command)
        client = raw_redis(request.getfixturevalue(url))
        client.response_callbacks.clear()
        try:
            return await client.execute_command(*command)
        finally:
            await client.aclose()

    return request.getfixturevalue(request.param), raw


@pytest.fixture(params=["in_process", "in_memory", "valkey", "oldest"])
def connect(request: pytest.FixtureRequest) -> Connect:
    found: Connect = request.getfixturevalue(request.param)
    return found

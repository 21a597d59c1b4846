"""Connections to Redis: the only module that imports its client.

One connection is for blocking reads, one for everything else. Neither tries a command again by itself: a write whose
answer was late would happen twice. Answers come as they are, bytes and lists, in one shape for all servers.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Protocol
from uuid import uuid4
from weakref import WeakSet

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry

from consumers.leases import ThreadedKeeper
from consumers.receiver import LeaseKeeper
from consumers.replies import by_key
from sagas.ports import TransportRefused, TransportUnavailable

__all__ = [
    "Claim", "Command", "Connected", "Disconnected", "RedisServer", "ResponseError", "Server", "Wire", "ping",
    "refuses", "renewed",
]  # fmt: skip
SOCKET_SECONDS = 5.0
CONNECT_SECONDS = 2.0
THREAD_SECONDS = 1.0
Command = tuple[Any, ...]
Connected = Callable[[bool], None]
Claim = Callable[[str, Sequence[str]], Command]


class Server(Protocol):
    """Where connections lead: a server at an address, or one in memory."""

    def client(self, socket_seconds: float, connected: Connected) -> Any:
        """A client as redis-py has it, which never tries a command again by itself.

        `connected` is called for each connection that is made, with whether the connection was one before.
        """
        ...

    def keeper(self, claim: Claim, lost: Callable[[str], None]) -> LeaseKeeper:
        """Keep leases by a connection of its own; `claim` says which command renews these entries of a stream."""
        ...

    def new_name(self) -> str:
        """A name that was never given before."""
        ...


class Wire:
    """The connections of one consumer; `on_connect` is called for each that is made.

    A gap is a lost connection, one that was made again, or a command that takes `slow_seconds` longer than it may block
    (rule L4).
    """

    def __init__(self, server: Server, block_seconds_max: float, slow_seconds: float = SOCKET_SECONDS) -> None:
        self.on_connect: list[Callable[[], None]] = []
        self._write = server.client(SOCKET_SECONDS, self._connected)
        self._read = server.client(block_seconds_max + SOCKET_SECONDS, self._connected)
        self._slow_seconds = slow_seconds
        self._gap_at = -inf

    def seconds_since_gap(self) -> float:
        """Seconds since the last gap (rule L4)."""
        return _now() - self._gap_at

    async def wait(self, *command: Any, block_seconds: float = 0.0) -> Any:
        """A command that may block for so long.

        Raises:
            TransportRefused: the server refuses it. TransportUnavailable: there is no answer.
        """
        began = _now()
        try:
            return await self._read.execute_command(*command)
        except ResponseError as refused:
            raise TransportRefused(str(refused)) from refused
        except (Disconnected, TimedOut, OSError) as loss:
            self._gap()
            raise TransportUnavailable(str(loss)) from loss
        finally:
            self._measure(began, block_seconds)

    async def ask(self, batch: Sequence[Command]) -> list[Any]:
        """Commands in one round trip, with errors among the answers.

        Raises:
            TransportUnavailable: there is no answer.
        """
        pipeline = self._write.pipeline(transaction=False)
        for command in batch:
            pipeline.execute_command(*command)
        began = _now()
        try:
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        except (Disconnected, TimedOut, OSError) as loss:
            self._gap()
            raise TransportUnavailable(str(loss)) from loss
        self._measure(began)
        return answers

    async def many(self, batch: Sequence[Command], forgiven: str | tuple[str, ...] = ()) -> list[Any]:
        """Commands in one round trip. An error that begins with one of `forgiven` counts as an empty answer.

        Raises:
            TransportRefused: all were refused. TransportUnavailable: there is no answer, or some were refused.
        """
        answers = await self.ask(batch)
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        hard = [error for error in errors if not str(error).startswith(forgiven)]
        if hard and len(errors) == len(answers) and isinstance(hard[0], ResponseError):
            raise TransportRefused(str(hard[0])) from hard[0]
        if hard:
            raise TransportUnavailable(f"{len(hard)} of {len(answers)} commands failed: {hard[0]}") from hard[0]
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    async def close(self) -> None:
        """End the connections."""
        await asyncio.gather(self._write.aclose(), self._read.aclose())

    def _connected(self, again: bool) -> None:
        """A connection is made. The client makes one again without an error, if it broke between two commands."""
        if again:
            self._gap()
        for call in self.on_connect:
            call()

    def _measure(self, began: float, block_seconds: float = 0.0) -> None:
        if _now() - began > block_seconds + self._slow_seconds:
            self._gap()

    def _gap(self) -> None:
        self._gap_at = _now()


class RedisServer:
    """A server at an address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def client(self, socket_seconds: float, connected: Connected) -> Any:
        """A client of it."""
        return _client(self._url, socket_seconds, connected)

    def keeper(self, claim: Claim, lost: Callable[[str], None]) -> LeaseKeeper:
        """Keep leases in a thread."""
        wire = ThreadWire(self._url)
        return ThreadedKeeper(lambda entries: renewed(wire.ask, claim, entries), lost, wire.close)

    def new_name(self) -> str:
        """A random name."""
        return uuid4().hex


def renewed(ask: Callable[[Command], list[Any]], claim: Claim, entries: Sequence[str]) -> list[str]:
    """Those of these entries whose leases could be renewed.

    Raises:
        OSError: there is no answer.
    """
    kept: list[str] = []
    for key, names in by_key(entries).items():
        kept += [f"{key} {name.decode()}" for name in ask(claim(key, names))]
    return kept


class ThreadWire:
    """A connection of its own for a thread."""

    def __init__(self, url: str) -> None:
        make: Any = redis.Redis
        self._client: Any = make.from_url(
            url,
            socket_timeout=THREAD_SECONDS,
            socket_connect_timeout=THREAD_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._client.response_callbacks.clear()

    def ask(self, command: Command) -> list[Any]:
        """The answer; where the group is gone an empty one.

        Raises:
            OSError: there is no answer, or another error.
        """
        try:
            answer: list[Any] = self._client.execute_command(*command)
        except ResponseError as refused:
            if str(refused).startswith("NOGROUP"):
                return []
            raise OSError(str(refused)) from refused
        except RedisError as loss:
            raise OSError(str(loss)) from loss
        return answer

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def refuses(error: Exception) -> bool:
    """Whether the server said that it did not write."""
    return isinstance(error, ResponseError)


async def ping(url: str) -> float:
    """Seconds that the server takes to answer.

    Raises:
        TransportUnavailable: it does not.
    """
    client = _client(url, SOCKET_SECONDS, lambda again: None)
    began = _now()
    try:
        await client.ping()
        return _now() - began
    except (RedisError, OSError) as loss:
        raise TransportUnavailable(str(loss)) from loss
    finally:
        await client.aclose()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _client(url: str, socket_seconds: float, connected: Connected) -> Any:
    """A client that never tries a command again by itself; `connected` is told whether a connection was one before."""
    before: WeakSet[Any] = WeakSet()

    async def connect(connection: Any) -> None:
        await connection.on_connect()
        connected(connection in before)
        before.add(connection)

    make: Any = redis.asyncio.Redis
    client = make.from_url(
        url,
        socket_timeout=socket_seconds,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=AsyncRetry(NoBackoff(), 0),
        protocol=2,
        decode_responses=False,
        redis_connect_func=connect,
    )
    client.response_callbacks.clear()
    return client

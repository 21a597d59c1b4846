"""What one consumer asks of Redis, over two connections: one for blocking reads, one for everything else."""

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Protocol
from uuid import uuid4

from consumers.connections import Command, Connected, Connection, Disconnected, ResponseError, ThreadWire
from consumers.leases import ThreadedKeeper
from consumers.receiver import LeaseKeeper
from consumers.replies import by_key
from sagas.ports import TransportRefused, TransportUnavailable

__all__ = [
    "Claim", "Command", "Connected", "Disconnected", "RedisServer", "ResponseError", "Server", "Wire", "ping",
    "renewed",
]  # fmt: skip
SOCKET_SECONDS = 5.0
Claim = Callable[[str, Sequence[str]], Command]


class Asked(Protocol):
    """A connection, which is made when it is needed."""

    async def open(self) -> None:
        """Make it, unless it is there."""
        ...

    async def ask(self, batch: Sequence[Command]) -> list[Any]:
        """Commands in one round trip, with errors among the answers."""
        ...

    def drop(self) -> None:
        """End it at once; the next command makes it anew."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


class Server(Protocol):
    """Where connections lead: a server at an address, or one in memory."""

    def connection(self, seconds: float, connected: Connected) -> Asked:
        """A connection on which an answer may take so long.

        `connected` is called for each that is made, with whether there was one before.
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
        self._write = server.connection(SOCKET_SECONDS, self._connected)
        self._read = server.connection(block_seconds_max + SOCKET_SECONDS, self._connected)
        self._slow_seconds = slow_seconds
        self._gap_at = -inf

    def seconds_since_gap(self) -> float:
        """Seconds since the last gap (rule L4)."""
        return _now() - self._gap_at

    async def wait(self, read: Command, block_seconds: float = 0.0) -> Any:
        """The answer to a read, or its error; it may block for so long at most.

        Raises:
            TransportUnavailable: there is no answer.
        """
        began = _now()
        try:
            (answer,) = await self._read.ask([read])
        except asyncio.CancelledError:
            self._read.drop()  # it may block for long still, and hand something out
            raise
        except OSError as loss:
            self._gap()
            raise TransportUnavailable(_told(loss)) from loss
        finally:
            self._measure(began, block_seconds)
        return answer

    async def open(self) -> None:
        """Be connected: what is asked next is written at once.

        Raises:
            TransportUnavailable: there is no connection, so nothing was written.
        """
        try:
            await self._write.open()
        except OSError as loss:
            self._gap()
            raise TransportUnavailable(_told(loss)) from loss

    async def ask(self, batch: Sequence[Command]) -> list[Any]:
        """Commands in one round trip, with errors among the answers.

        Raises:
            TransportUnavailable: there is no answer.
        """
        began = _now()
        try:
            answers = await self._write.ask(batch)
        except OSError as loss:
            self._gap()
            raise TransportUnavailable(_told(loss)) from loss
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
        await asyncio.gather(self._write.close(), self._read.close())

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

    def connection(self, seconds: float, connected: Connected) -> Connection:
        """A connection to it."""
        return Connection(self._url, seconds, connected)

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


async def ping(url: str) -> float:
    """Seconds that the server takes to answer.

    Raises:
        TransportUnavailable: it does not.
    """
    connection = Connection(url, SOCKET_SECONDS, lambda again: None)
    began = _now()
    try:
        (answer,) = await connection.ask([("PING",)])
    except OSError as loss:
        raise TransportUnavailable(_told(loss)) from loss
    finally:
        await connection.close()
    if isinstance(answer, Exception):
        raise TransportUnavailable(str(answer)) from answer
    return _now() - began


def _now() -> float:
    return asyncio.get_running_loop().time()


def _told(loss: Exception) -> str:
    return str(loss) or type(loss).__name__

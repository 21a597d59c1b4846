"""Connections to Redis: many commands in one write, and their answers as they come, bytes and lists.

The only module that imports the driver. It makes a connection (addresses, TLS, passwords) and hands it over: its own
way of reading, answer by answer, takes ten times as long. No command is tried again by itself: a write whose answer was
late would happen twice.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

__all__ = ["Command", "Connected", "Connection", "Disconnected", "ResponseError", "ThreadWire", "at_once"]
CONNECT_SECONDS = 2.0
THREAD_SECONDS = 1.0
Command = tuple[Any, ...]
Connected = Callable[[bool], None]

_hiredis: Any = hiredis
_pack: Callable[[Command], bytes] = _hiredis.pack_command


class Disconnected(ConnectionError):
    """There is no connection, or no more; nobody knows what became of what was asked."""


def _refusal(text: str) -> ResponseError:
    """What the server says, without the word that begins most of it."""
    return ResponseError(text.removeprefix("ERR "))


@dataclass(slots=True)
class _Question:
    """Commands that were written, and the answers so far."""

    count: int
    answered: "asyncio.Future[list[Any]]"
    answers: list[Any] = field(default_factory=list[Any])


class _Line(asyncio.Protocol):
    """What an open connection hears: answers in the order of the questions."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.transport = cast("asyncio.Transport", writer.transport)
        self._writer = writer  # which closes the transport when nobody has it
        self._reader: Any = hiredis.Reader(replyError=_refusal)
        self._questions: deque[_Question] = deque()
        self.transport.set_protocol(self)

    def ask(self, batch: Sequence[Command]) -> "asyncio.Future[list[Any]]":
        """Write commands. Whoever stops waiting for the answers does not stop others from having theirs."""
        packed = b"".join(map(_pack, batch))  # first: what cannot be packed must not be waited for
        question = _Question(len(batch), asyncio.get_running_loop().create_future())
        self._questions.append(question)
        self.transport.write(packed)
        return question.answered

    def data_received(self, data: bytes) -> None:
        """Answers, or parts of some."""
        gets = self._reader.gets
        self._reader.feed(data)
        while self._questions:
            question = self._questions[0]
            while len(question.answers) < question.count:
                answer = gets()
                if answer is False:  # what is there of it is not whole
                    return
                question.answers.append(answer)
            self._questions.popleft()
            if not question.answered.done():
                question.answered.set_result(question.answers)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody knows what became of what was asked."""
        for question in self._questions:
            if not question.answered.done():
                question.answered.set_exception(Disconnected(str(exc or "the server ended the connection")))
        self._questions.clear()


class Connection:
    """A connection that is made when it is needed, and anew after a loss.

    An answer may take `seconds`. `connected` is called for each that is made, with whether there was one before.
    """

    def __init__(self, url: str, seconds: float, connected: Connected) -> None:
        make: Any = redis.asyncio.ConnectionPool
        self._driver: Any = make.from_url(
            url, socket_timeout=seconds, socket_connect_timeout=CONNECT_SECONDS, protocol=2,
            retry=AsyncRetry(NoBackoff(), 0),
        )  # fmt: skip
        self._seconds = seconds
        self._connected = connected
        self._attempt: asyncio.Task[_Line] | None = None
        self._line: _Line | None = None
        self._before = False
        self._closed = False

    async def open(self) -> None:
        """Make the connection, unless it is there.

        Raises:
            Disconnected, TimeoutError: it cannot be made.
        """
        if self._open_line() is None:
            async with asyncio.timeout(self._seconds):
                await self._connect()

    async def ask(self, batch: Sequence[Command]) -> list[Any]:
        """Commands in one round trip, with errors among the answers.

        Entries of one stream that it begins with stand there at once or not at all: who waits is given all of them, and
        not the first alone.

        Raises:
            Disconnected, TimeoutError: there is no answer. TypeError, UnicodeError: something cannot be sent.
        """
        if not batch:
            return []
        if count := at_once(batch):
            return _apart(await self._ask([("MULTI",), *batch[:count], ("EXEC",), *batch[count:]]), count)
        return await self._ask(batch)

    async def _ask(self, batch: Sequence[Command]) -> list[Any]:
        line = self._open_line()
        try:
            async with asyncio.timeout(self._seconds):
                if line is None:
                    line = await self._connect()
                return await line.ask(batch)
        except TimeoutError:
            if line is not None:
                self._drop(line)
            raise

    def drop(self) -> None:
        """End it at once: an answer that is still to come would be taken for that of the next command."""
        if self._line is not None:
            self._drop(self._line)

    async def close(self) -> None:
        """End it for good."""
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
        self.drop()

    def _drop(self, line: _Line) -> None:
        line.transport.abort()
        if self._line is line:
            self._line = None

    def _open_line(self) -> _Line | None:
        line = self._line
        return None if line is None or line.transport.is_closing() else line

    async def _connect(self) -> _Line:
        """One attempt for all who wait: they fail with it, or go on with it."""
        if self._attempt is None:
            self._attempt = asyncio.create_task(self._made())
            self._attempt.add_done_callback(self._tried)
        try:
            return await asyncio.shield(self._attempt)
        except asyncio.CancelledError:
            if self._closed:
                raise Disconnected("the connection is closed") from None
            raise

    def _tried(self, attempt: "asyncio.Task[_Line]") -> None:
        self._attempt = None
        if not attempt.cancelled():
            attempt.exception()  # whoever waits has it; it may be that nobody does any more

    async def _made(self) -> _Line:
        if self._closed:
            raise Disconnected("the connection is closed")
        driver = self._driver.make_connection()
        try:
            await driver.connect()
            if driver._reader.at_eof() or driver._writer.transport.is_closing():
                raise Disconnected("the server ended the connection")
        except BaseException as failure:
            await driver.disconnect(nowait=True)
            if isinstance(failure, RedisError):
                raise Disconnected(str(failure)) from failure
            raise
        self._line = _Line(driver._writer)
        driver._writer = driver._reader = None  # it is no more the driver's
        self._connected(self._before)
        self._before = True
        return self._line


def at_once(batch: Sequence[Command]) -> int:
    """With how many entries of one stream it begins, which take effect together.

    Of several streams who waits at all of them would be given some of each, whatever their priorities.
    """
    first = batch[0][:2]
    count = next((place for place, command in enumerate(batch) if command[:2] != first), len(batch))
    return count if count > 1 and first[0] == "XADD" else 0


def _apart(answers: list[Any], entries: int) -> list[Any]:
    """The answers without those about the transaction; one that was refused as a whole has refused each entry.

    Where none may be begun (a user's rules) each entry stands, or is refused, by itself.
    """
    if isinstance(answers[0], Exception):
        return [*answers[1 : entries + 1], *answers[entries + 2 :]]
    refusals = [answer for answer in answers[1 : entries + 1] if isinstance(answer, Exception)]
    done, rest = answers[entries + 1], answers[entries + 2 :]
    if isinstance(done, Exception):
        return [*(refusals or [done])[:1] * entries, *rest]
    return [*done, *rest]


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

"""A recorded run, done once more at real servers: each answer must be the same, but for names of entries and times."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import fields, is_dataclass, replace
from math import inf
from typing import Any, TypeGuard

import asyncpg
import orjson
import redis

from consumers.wire import ResponseError
from eventstore.postgres import PostgresStore
from reconciler.evidence import PostgresEvidence
from sagas.ports import WaitRow
from tests.simulation.recording import ALL, Called, Executed, Handed, Recording

LONG_MS = 1_000_000
MICROSECONDS = 5e-6
"""A database rounds instants, and adds what is rounded."""
OWED = "SELECT aggregate_id::text, event_type, event_data FROM amends.event_outbox ORDER BY id"
CLOCK = """
CREATE SCHEMA simulated;
CREATE TABLE simulated.clock (instant timestamptz NOT NULL);
INSERT INTO simulated.clock VALUES (now());
CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
    AS 'SELECT instant FROM simulated.clock';
CREATE FUNCTION simulated.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
    AS 'SELECT instant FROM simulated.clock';
CREATE FUNCTION simulated.random() RETURNS float8 VOLATILE LANGUAGE sql AS 'SELECT 0.0::float8';
GRANT USAGE ON SCHEMA simulated TO PUBLIC;
GRANT SELECT ON simulated.clock TO PUBLIC;
"""


class Differs(AssertionError):
    """A real server answered otherwise."""


class Names:
    """The names of entries in one stream: recorded ones and real ones."""

    def __init__(self) -> None:
        self._real: dict[bytes, bytes] = {}
        self._recorded: dict[bytes, bytes] = {}

    def meet(self, recorded: bytes, real: bytes) -> None:
        """An entry is written."""
        self._real[recorded] = real
        self._recorded[real] = recorded

    def real(self, word: Any) -> Any:
        """A word of a command."""
        known = self._real.get(word if isinstance(word, bytes) else str(word).encode())
        return word if known is None else known

    def recorded(self, answer: Any) -> Any:
        """An answer, or a part of one."""
        if is_list(answer):
            return [self.recorded(one) for one in answer]
        return self._recorded.get(answer, answer) if isinstance(answer, bytes) else answer


class Streams:
    """A real server of streams. One that is `old` (Redis 6.2) keeps telling of handed out entries that were deleted."""

    def __init__(self, url: str) -> None:
        make: Any = redis.Redis
        self._client = make.from_url(url, protocol=2)
        self._client.response_callbacks.clear()
        self._old = b"redis_version:6." in self._client.execute_command("INFO", "server")
        self._names: dict[str, Names] = {}

    def replay(self, recording: Recording) -> None:
        """Do every command again.

        Raises:
            Differs: an answer is another.
        """
        for place, done in enumerate(recording.commands):
            found = self._do(done)
            if (expected := self._plain(done, done.answer)) != (found := self._plain(done, found)):
                raise Differs(f"command {place}: {str(done.command)[:300]}\n  is    {found}\n  not   {expected}")

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _ask(self, *command: Any) -> Any:
        try:
            return self._client.execute_command(*command)
        except redis.ResponseError as refused:
            return refused

    def _of(self, key: Any) -> Names:
        return self._names.setdefault(key.decode() if isinstance(key, bytes) else str(key), Names())

    def _do(self, done: Executed) -> Any:
        command = done.command
        match command:
            case ("XADD", key, *_):
                answer = self._ask(*command)
                if isinstance(done.answer, bytes) and isinstance(answer, bytes):
                    self._of(key).meet(done.answer, answer)
                return self._of(key).recorded(answer)
            case ("XREADGROUP", *_):
                return self._read(command)
            case ("XAUTOCLAIM", key, group, *_):
                self._be_idle(key, group, done.held, command[4])
                answer = self._ask(*self._renamed(key, command))
                if self._old and not isinstance(done.answer, Exception):
                    self._forget(key, group, done.answer[2])
                return self._of(key).recorded(answer)
            case ("XCLAIM", key, group, *_) if self._old and not isinstance(done.answer, Exception):
                renewed = self._of(key).recorded(self._ask(*self._renamed(key, command)))
                gone = [name for name in renewed if not self._is_there(key, name)]
                self._forget(key, group, gone)
                return [name for name in renewed if name not in gone]
            case ("EVAL", _, _, key, *_):
                return self._of(key).recorded(self._ask(*self._renamed(key, command)))
            case ("XINFO" | "XGROUP", _, key, *_) | (_, key, *_):
                return self._of(key).recorded(self._ask(*self._renamed(key, command)))
            case _:
                return self._ask(*command)

    def _renamed(self, key: Any, command: Sequence[Any]) -> list[Any]:
        return [self._of(key).real(word) for word in command]

    def _read(self, command: Sequence[Any]) -> Any:
        first = command.index("STREAMS") + 1
        half = (len(command) - first) // 2
        keys, starts = command[first : first + half], command[first + half :]
        renamed = [self._of(key).real(start) for key, start in zip(keys, starts, strict=True)]
        answer = self._ask(*command[: first + half], *renamed)
        if not is_list(answer):
            return answer
        return [[key, self._of(key).recorded(entries)] for key, entries in answer]

    def _be_idle(self, key: str, group: str, held: Sequence[Handed], least_ms: int) -> None:
        """Have what is handed out be idle for as long as it was; who has it is to be the same before.

        What was idle for a little less than `least_ms` would be for more before the real server is asked.
        """
        answer = self._ask("XPENDING", key, group, "-", "+", ALL)
        real: list[Any] = [] if isinstance(answer, Exception) else answer
        found = [(self._of(key).recorded(name), consumer, times) for name, consumer, _, times in real]
        if found != [(one.name, one.consumer, one.times) for one in held]:
            raise Differs(f"{key} {group}: handed out is {found}, not {held}")
        for one in held:
            if one.there or self._old:  # others forget at once what was deleted
                idle_ms = one.idle_ms if one.idle_ms >= least_ms else min(one.idle_ms, least_ms // 2)
                name, idle_ms = self._of(key).real(one.name), idle_ms if one.there else LONG_MS
                self._ask("XCLAIM", key, group, one.consumer, 0, name, "IDLE", idle_ms, "JUSTID")

    def _is_there(self, key: str, name: bytes) -> bool:
        real = self._of(key).real(name)
        return bool(self._ask("XRANGE", key, real, real))

    def _forget(self, key: str, group: str, gone: Sequence[bytes]) -> None:
        """What was deleted is no longer handed out."""
        for name in gone:
            self._ask("XACK", key, group, self._of(key).real(name))

    def _plain(self, done: Executed, answer: Any) -> Any:
        """An answer without what may differ."""
        if isinstance(answer, redis.ResponseError | ResponseError):
            return str(answer).partition(" ")[0]
        if not is_list(answer):
            return answer
        match done.command[0]:
            case "XPENDING":
                return [(name, consumer, times) for name, consumer, _, times in answer]
            case "XAUTOCLAIM":
                cursor, entries, *gone = answer
                there = [one for one in entries if one and one[0] is not None]
                return cursor, there, len(entries) - len(there) + sum(map(len, gone))
            case "XINFO":
                about = [dict(zip(one[::2], one[1::2], strict=True)) for one in answer]
                return sorted((one[b"name"], one[b"last-delivered-id"]) for one in about)
            case _:
                return answer


class Rows:
    """A real database, whose clock stands where the recorded one stood."""

    def __init__(self, store: PostgresStore, owner: "asyncpg.Connection[Any]") -> None:
        self._store = store
        self._owner = owner
        self._evidence = PostgresEvidence(store.pool)

    @classmethod
    async def open(cls, url: str, ending: AsyncExitStack) -> "Rows":
        """Connect, with a clock that is set by hand: it is found before the real one."""
        owner = await asyncpg.connect(url)
        ending.push_async_callback(owner.close)
        await owner.execute(CLOCK)
        name = str(await owner.fetchval("SELECT current_database()"))
        await owner.execute(f'ALTER DATABASE "{name}" SET search_path = simulated, pg_catalog, public')
        store = await PostgresStore.open(url)
        ending.push_async_callback(store.close)
        return cls(store, owner)

    async def replay(self, recording: Recording) -> None:
        """Do every call again.

        Raises:
            Differs: an answer is another.
        """
        for manifest in recording.manifests:
            await self._store.put_manifest(manifest)
        for place, done in enumerate(recording.calls):
            await self._owner.execute("UPDATE simulated.clock SET instant = to_timestamp($1)", done.at)
            try:
                found = await self._do(done)
            except Exception as error:
                if type(error) is not type(done.answer):
                    raise Differs(f"call {place}: {done.name}{done.arguments}: {error!r}") from error
                continue
            if why := differs(_plain(done, done.answer), _plain(done, found)):
                raise Differs(f"call {place}: {done.name}{str(done.arguments)[:1000]}: {why}")
        rows = await self._owner.fetch(OWED)
        found = [(str(row[0]), str(row[1]), orjson.loads(row[2])) for row in rows]
        if why := differs(sorted(recording.owed, key=_of_saga), sorted(found, key=_of_saga)):
            raise Differs(f"what is owed to the outside: {why}")

    async def _do(self, done: Called) -> Any:
        if done.name in ("overdue", "never_published"):
            async with self._evidence.look() as sight:
                return await getattr(sight, done.name)(*done.arguments)
        if done.more.get("connection") or (done.arguments[1:] and done.name == "start"):
            async with self._store.pool.acquire() as connection, connection.transaction():
                return await self._store.start(done.arguments[0], connection)
        return await getattr(self._store, done.name)(*done.arguments, **done.more)


def _plain(done: Called, answer: Any) -> Any:
    """An answer without what may differ: of these no order is promised, nor which clock a list shows."""
    if done.name in ("take_unsent", "overdue", "never_published"):
        return sorted(answer, key=lambda row: (row.saga_id, row.opened_by))
    if done.name == "due":
        return _by_instant(answer, _due_at, full=len(answer) == done.arguments[0])
    if done.name == "unpublished":
        return _by_instant(answer, _since, full=len(answer) == done.arguments[1])
    if done.name == "sagas":
        return [replace(row, created_at=0.0, updated_at=0.0) for row in answer]
    return answer


def _of_saga(message: tuple[str, str, Any]) -> str:
    """In one statement no order of sagas is promised; of one saga it is that of its moves."""
    return message[0]


def _due_at(row: WaitRow) -> float:
    return row.due_at


def _since(row: WaitRow) -> float:
    return row.since


def _by_instant(rows: Sequence[WaitRow], instant: Callable[[WaitRow], float], *, full: bool) -> list[Any]:
    """Waits by an instant of theirs, of one in any order; of the last instant any, where there are more of it."""
    last = instant(rows[-1]) if full else inf
    sure = [row for row in rows if instant(row) < last - MICROSECONDS]
    return [*sorted(sure, key=lambda row: (round(instant(row), 5), row.saga_id, row.opened_by)), len(rows) - len(sure)]


def differs(expected: Any, found: Any) -> str:
    """Where two values differ, by more than rounding; empty if they do not."""
    if isinstance(expected, float) and isinstance(found, float):
        near = expected == found or (abs(expected) < inf and abs(expected - found) < MICROSECONDS)
        return "" if near else f"{found!r} is not {expected!r}"
    if is_dataclass(expected) and type(expected) is type(found):
        return _first(
            (one.name, differs(getattr(expected, one.name), getattr(found, one.name))) for one in fields(expected)
        )
    if is_mapping(expected) and is_mapping(found) and expected.keys() == found.keys():
        return _first((key, differs(expected[key], found[key])) for key in expected)
    if is_list(expected) and is_list(found) and len(expected) == len(found):
        return _first((place, differs(*pair)) for place, pair in enumerate(zip(expected, found, strict=True)))
    return "" if expected == found else f"{found!r} is not {expected!r}"


def is_list(value: Any) -> TypeGuard["list[Any]"]:
    return isinstance(value, list)


def is_mapping(value: Any) -> TypeGuard["Mapping[Any, Any]"]:
    return isinstance(value, Mapping)


def _first(parts: Any) -> str:
    return next((f"{name}: {why}" for name, why in parts if why), "")

"""A server of streams in memory: the commands that we use of Redis, answered as Valkey answers them, and its mishaps.

It knows no network and no time of its own. Whoever connects to it brings latencies, losses and a clock.
"""

import copy
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from consumers.memory import REPLACE
from consumers.memory_streams import ZERO, Blocked, Group, Id, Memory, Pending, Stream
from consumers.scripts import DONE, MAKE_GROUP, NO_GROUP, PUT_BACK, REVIVE, REVIVED_MAX, WITHDRAW
from consumers.wire import Command, ResponseError


class MemoryServer:
    """One server. `clock` is its time, in seconds since 1970.

    While `refusing` it takes no writes, as one whose memory is full. The `oldest` keeps deleted entries pending, as
    Redis 6.2 does. A `flush` says to blocked readers that their stream is gone, as some versions do, or nothing.
    """

    def __init__(self, clock: Callable[[], float], *, oldest: bool = False) -> None:
        self._clock = clock
        self._oldest = oldest
        self._memory = Memory()
        self._blocked: list[Blocked] = []
        self._unserved: dict[str, None] | None = None
        self._runs = 1
        self._histories = 1
        self.refusing = False
        self.refused = 0
        self._commands: Mapping[str, Callable[..., Any]] = {
            "XADD": self._add,
            "XLEN": self._length,
            "XRANGE": self._range,
            "XREVRANGE": self._range_back,
            "XDEL": self._delete,
            "XACK": self._acknowledge,
            "XREADGROUP": self._read_group,
            "XPENDING": self._pending,
            "XAUTOCLAIM": self._auto_claim,
            "XCLAIM": self._claim,
            "XGROUP": self._groups,
            "GET": self._get,
            "INFO": self._info,
            "TIME": self._time,
            "EVAL": self._script,
            "XINFO": self._about,
        }
        self._scripts: Mapping[str, Callable[..., Any]] = {
            REPLACE: self._replace,
            MAKE_GROUP: self._make_group,
            WITHDRAW: self._withdraw,
            PUT_BACK: self._put_back,
            DONE: self._done,
            REVIVE: self._revive,
        }

    def execute(self, command: Command) -> Any:
        """The answer to a command; a blocking read that finds nothing is answered None.

        Raises:
            ResponseError: as the server would say it.
        """
        name = command[0]
        groups = name == "XGROUP" and (self._oldest or command[1] == "CREATE")
        writes = groups or name in ("XADD", "SET") or (name == "EVAL" and command[1] not in (WITHDRAW, DONE))
        if self.refusing and writes:
            self.refused += 1
            raise ResponseError("OOM command not allowed when used memory > 'maxmemory'.")
        return self._commands[name](*command[1:])

    def block(self, blocked: Blocked) -> None:
        """Let a read wait: it is answered once, by what comes first."""
        self._blocked.append(blocked)

    def unblock(self, blocked: Blocked) -> None:
        """Its time is over, or its connection is gone."""
        if blocked in self._blocked:
            self._blocked.remove(blocked)

    @contextmanager
    def together(self) -> Generator[None]:
        """Whoever waits is given entries once all of them stand there."""
        self._unserved = {}
        try:
            yield
        finally:
            keys, self._unserved = self._unserved, None
            for key in keys:
                self._serve(key)

    def flush(self, *, silently: bool = False) -> None:
        """Forget everything: FLUSHALL."""
        self._memory = Memory()
        if not silently:
            blocked, self._blocked = self._blocked, []
            for one in blocked:
                one.answered(ResponseError("UNBLOCKED the stream key no longer exists"))

    def snapshot(self) -> Memory:
        """What it remembers now."""
        return copy.deepcopy(self._memory)

    def restart(self, memory: Memory | None = None, *, other: bool = False) -> None:
        """Come up again, with an older memory perhaps: another run, and of an `other` server another history."""
        self._runs += 1
        self._histories += other
        self._blocked.clear()
        if memory is not None:
            self._memory = copy.deepcopy(memory)

    def keys(self) -> list[str]:
        """The names of all streams."""
        return sorted(self._memory.streams)

    def _group(self, key: str, group: str) -> tuple[Stream, Group]:
        stream = self._memory.streams.get(key)
        found = stream.groups.get(group) if stream is not None else None
        if stream is None or found is None:
            raise ResponseError(f"NOGROUP No such key '{key}' or consumer group '{group}'")
        return stream, found

    def _add(self, key: str, *words: Any) -> bytes:
        rest = list(words)
        limit = None
        if rest[0] == "MAXLEN":
            limit = int(rest[2])
            del rest[:3]
        assert rest[0] == "*"
        stream = self._memory.streams.setdefault(key, Stream())
        name = (int(self._clock() * 1000), 0)
        if name <= stream.last:
            name = (stream.last[0], stream.last[1] + 1)
        stream.last = name
        stream.entries[name] = [_bytes(word) for word in rest[1:]]
        while limit is not None and len(stream.entries) > limit:
            del stream.entries[next(iter(stream.entries))]
        if self._unserved is None:
            self._serve(key)
        else:
            self._unserved[key] = None
        return _name(name)

    def _serve(self, key: str) -> None:
        """Give what is new to whoever has waited longest for it."""
        for blocked in [one for one in self._blocked if key in one.keys]:
            try:
                answer = self.execute(blocked.command)
            except ResponseError as gone:
                answer = gone
            if answer is not None:
                self.unblock(blocked)
                blocked.answered(answer)

    def _length(self, key: str) -> int:
        stream = self._memory.streams.get(key)
        return len(stream.entries) if stream is not None else 0

    def _range(self, key: str, first: Any, last: Any, *words: Any) -> list[Any]:
        stream = self._memory.streams.get(key)
        low, high = _id(first, ZERO), _id(last, (2**63, 0))
        count = int(words[1]) if words else None
        if stream is None:
            return []
        if low == high:
            return [[_name(low), stream.entries[low]]] if low in stream.entries else []
        found = [[_name(name), fields] for name, fields in stream.entries.items() if low <= name <= high]
        return found[:count]

    def _range_back(self, key: str, last: Any, first: Any, *words: Any) -> list[Any]:
        return self._range(key, first, last)[::-1][: int(words[1]) if words else None]

    def _delete(self, key: str, *names: Any) -> int:
        stream = self._memory.streams.get(key)
        if stream is None:
            return 0
        return sum(stream.entries.pop(_id(name), None) is not None for name in names)

    def _acknowledge(self, key: str, group: str, *names: Any) -> int:
        stream = self._memory.streams.get(key)
        found = stream.groups.get(group) if stream is not None else None
        if found is None:
            return 0
        return sum(found.pending.pop(_id(name), None) is not None for name in names)

    def _read_group(self, _group: str, group: str, consumer: str, *words: Any) -> Any:
        """XREADGROUP; BLOCK is for whoever asks."""
        rest = list(words)
        count = int(rest[1])
        keys = rest[rest.index("STREAMS") + 1 :]
        names, starts = keys[: len(keys) // 2], keys[len(keys) // 2 :]
        groups = [self._group(key, group) for key in names]
        answer: list[Any] = []
        for key, start, (stream, found) in zip(names, starts, groups, strict=True):
            entries = (
                self._new(stream, found, consumer, count)
                if start == ">"
                else self._own(stream, found, consumer, count, _id(start))
            )
            if entries or start != ">":
                answer.append([key.encode(), entries])
        return answer or None

    def _new(self, stream: Stream, group: Group, consumer: str, count: int) -> list[Any]:
        if stream.last <= group.read:
            return []
        found: list[Any] = []
        for name, fields in stream.entries.items():
            if name > group.read:
                found.append([_name(name), fields])
                group.pending[name] = Pending(consumer, self._clock(), 1)
                group.read = name
                if len(found) == count:
                    break
        return found

    def _own(self, stream: Stream, group: Group, consumer: str, count: int, after: Id) -> list[Any]:
        """What this consumer holds, handed out once more; of an entry that was deleted only its name."""
        held = sorted(name for name, one in group.pending.items() if one.consumer == consumer and name > after)
        for name in held[:count]:
            if name in stream.entries:
                group.pending[name] = Pending(consumer, self._clock(), group.pending[name].times + 1)
        return [[_name(name), stream.entries.get(name)] for name in held[:count]]

    def _pending(self, key: str, group: str, first: Any, last: Any, count: int, consumer: str = "") -> list[Any]:
        _, found = self._group(key, group)
        low, high = _id(first, ZERO), _id(last, (2**63, 0))
        if low == high:
            held = [(low, found.pending[low])] if low in found.pending else []
        else:
            held = sorted((name, one) for name, one in found.pending.items() if low <= name <= high)
        now = self._clock()
        return [
            [_name(name), one.consumer.encode(), int((now - one.handed_out_at) * 1000), one.times]
            for name, one in held
            if consumer in ("", one.consumer)
        ][:count]

    def _auto_claim(self, key: str, group: str, consumer: str, idle_ms: int, start: Any, *words: Any) -> list[Any]:
        stream, found = self._group(key, group)
        count, first = int(words[1]), _id(start)
        oldest = self._clock() - idle_ms / 1000
        claimed: list[Any] = []
        gone: list[bytes] = []
        looked = 0
        for name in sorted(found.pending):
            if name < first:
                continue
            if looked == 10 * count or len(claimed) + len(gone) == count:
                return [_name(name), claimed, *([] if self._oldest else [gone])]
            looked += 1
            one = found.pending[name]
            if name not in stream.entries and not self._oldest:  # however short a time ago it was handed out
                del found.pending[name]
                gone.append(_name(name))
            elif one.handed_out_at <= oldest:
                found.pending[name] = Pending(consumer, self._clock(), one.times + 1)
                claimed.append([_name(name), stream.entries[name]] if name in stream.entries else None)
        return [b"0-0", claimed, *([] if self._oldest else [gone])]

    def _claim(self, key: str, group: str, consumer: str, idle_ms: int, *words: Any) -> list[bytes]:
        """XCLAIM … [IDLE …] JUSTID: it does not count as handed out once more."""
        stream, found = self._group(key, group)
        count = words.index("IDLE") if "IDLE" in words else len(words) - 1
        handed_out_at = self._clock() - (words[count + 1] / 1000 if "IDLE" in words else 0.0)
        claimed: list[bytes] = []
        for word in words[:count]:
            name = _id(word)
            one = found.pending.get(name)
            if one is None or one.handed_out_at > self._clock() - idle_ms / 1000:
                continue
            if name not in stream.entries and not self._oldest:
                del found.pending[name]
                continue
            found.pending[name] = Pending(consumer, handed_out_at, one.times)
            claimed.append(_name(name))
        return claimed

    def _groups(self, verb: str, key: str, group: str, *words: Any) -> Any:
        if verb == "CREATE":
            stream = self._memory.streams.setdefault(key, Stream())
            if group in stream.groups:
                raise ResponseError("BUSYGROUP Consumer Group name already exists")
            stream.groups[group] = Group()
            return b"OK"
        stream, found = self._group(key, group)
        if verb == "DESTROY":
            del stream.groups[group]
            for blocked in [one for one in self._blocked if key in one.keys]:
                self.unblock(blocked)
                blocked.answered(ResponseError("NOGROUP the consumer group this client was blocked on is gone"))
            return 1
        assert verb == "DELCONSUMER"
        held = [name for name, one in found.pending.items() if one.consumer == words[0]]
        for name in held:
            del found.pending[name]
        return len(held)

    def _get(self, key: str) -> bytes | None:
        return self._memory.values.get(key)

    def _info(self, section: str) -> bytes:
        if section == "server":
            return f"# Server\r\nrun_id:run{self._runs}\r\n".encode()
        return f"# Replication\r\nmaster_replid:history{self._histories}\r\n".encode()

    def _time(self) -> list[bytes]:
        now = self._clock()
        return [str(int(now)).encode(), str(int(now % 1 * 1e6)).encode()]

    def _script(self, script: str, _count: int, *words: Any) -> Any:
        return self._scripts[script](*words)

    def _replace(self, key: str, expected: str, wanted: str) -> bytes | None:
        if self._memory.values.get(key, b"") == _bytes(expected):
            self._memory.values[key] = _bytes(wanted)
        return self._memory.values.get(key)

    def _make_group(self, key: str, grouped: str, group: str) -> int:
        before = grouped in self._memory.values
        self._memory.values[grouped] = b"1"
        stream = self._memory.streams.setdefault(key, Stream())
        if group in stream.groups:
            return 0
        stream.groups[group] = Group(stream.last if before else ZERO)
        if before:
            stream.entries.clear()
        return 1 + before

    def _put_back(self, key: str, group: str, name: str, body: bytes) -> None:
        if self._acknowledge(key, group, name):
            self._delete(key, name)
            self._add(key, "*", "b", body)

    def _done(self, key: str, group: str, *names: Any) -> list[int]:
        held = [self._acknowledge(key, group, name) for name in names]
        stream = self._memory.streams.get(key)
        found = stream.groups.get(group) if stream is not None else None
        last = found.read if found is not None else ZERO
        self._delete(key, *(name for name, one in zip(names, held, strict=True) if one or _id(name) <= last))
        return held

    def _revive(self, key: str, group: str) -> int:
        stream = self._memory.streams.get(key, Stream())
        found = stream.groups.get(group, Group())
        first = list(stream.entries)[:REVIVED_MAX]
        orphans = [name for name in first if name <= found.read and name not in found.pending]
        for name in orphans:
            self._add(key, "*", *stream.entries[name][:2])
            del stream.entries[name]
        return len(orphans)

    def _about(self, _groups: str, key: str) -> list[Any]:
        stream = self._memory.streams.get(key)
        if stream is None:
            raise ResponseError("no such key")
        return [
            [b"name", name.encode(), b"last-delivered-id", _name(group.read)] for name, group in stream.groups.items()
        ]

    def _withdraw(self, key: str, group: str, word: Any) -> Any:
        stream, name = self._memory.streams.get(key, Stream()), _id(word)
        if name not in stream.entries:
            return None
        if group not in stream.groups:
            return NO_GROUP
        return None if name <= stream.groups[group].read else stream.entries.pop(name)[1]


def _bytes(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


def _name(name: Id) -> bytes:
    return b"%d-%d" % name


def _id(word: Any, otherwise: Id = ZERO) -> Id:
    text = word.decode() if isinstance(word, bytes) else word
    if text in ("-", "+"):
        return otherwise
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number or 0)

"""What a server of streams in memory remembers: streams, their groups, what was handed out, and who waits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from consumers.wire import Command

Id = tuple[int, int]
Fields = list[bytes]
ZERO: Id = (0, 0)


@dataclass(slots=True)
class Pending:
    """An entry that was handed out."""

    consumer: str
    handed_out_at: float
    times: int


@dataclass(slots=True)
class Group:
    """A consumer group: how far it has read, and what it has handed out."""

    read: Id = ZERO
    pending: dict[Id, Pending] = field(default_factory=dict[Id, Pending])


@dataclass(slots=True)
class Stream:
    """Entries in the order of their ids, and groups."""

    last: Id = ZERO
    entries: dict[Id, Fields] = field(default_factory=dict[Id, Fields])
    groups: dict[str, Group] = field(default_factory=dict[str, Group])


@dataclass(slots=True)
class Blocked:
    """A blocking read that waits for entries; `answered` takes them, or an error."""

    command: Command
    keys: tuple[str, ...]
    answered: Callable[[Any], object]


@dataclass(slots=True)
class Memory:
    """All that a server remembers."""

    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])
    values: dict[str, bytes] = field(default_factory=dict[str, bytes])

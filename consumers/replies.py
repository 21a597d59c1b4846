"""What a Redis server answers about entries, in one shape for all versions."""

from collections.abc import Sequence
from typing import Any

from consumers.envelopes import load_command
from sagas.ports import GONE, Command, EntryState

Entry = tuple[bytes, dict[bytes, bytes]]
Id = tuple[int, int]


def pair(entry: Any) -> Entry:
    """An entry as (id, fields); one that was deleted while it was pending has none."""
    name, flat = entry
    fields: list[bytes] = flat or []
    return name, dict(zip(fields[::2], fields[1::2], strict=True))


def length_of(answer: Any) -> int:
    """The length that XLEN tells; a stream that has none is not full."""
    return answer if isinstance(answer, int) else 0


def name_of(answer: Any) -> str | None:
    """The name of an entry that XADD tells; a refused one has none."""
    return answer.decode() if isinstance(answer, bytes) else None


def by_key(entries: Sequence[str]) -> dict[str, list[str]]:
    """Entries that are named `stream id`, by stream."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        key, name = entry.split(" ")
        found.setdefault(key, []).append(name)
    return found


def entry_state(entries: Any, pending: Any, idle_ms_max: int, read: Id) -> EntryState:
    """Where an entry is, by what XRANGE and XPENDING say of it, and up to where its group has read (rule L5).

    One that nobody renews is gone, and so is one that was handed out and that nobody holds.
    """
    if not entries or (pending and pending[0][2] > idle_ms_max):
        return GONE
    name, fields = pair(entries[0])
    if not pending and id_of(name) <= read:
        return GONE
    command = load_command(fields.get(b"b", b""))
    timeout = command.timeout if isinstance(command, Command) else 0.0
    return EntryState("pending" if pending else "queued", timeout)


def read_up_to(groups: Any, group: str) -> Id:
    """Up to where a group has read its stream, by what XINFO GROUPS says."""
    for flat in groups or ():
        about = dict(zip(flat[::2], flat[1::2], strict=True))
        if about[b"name"] == group.encode():
            return id_of(about[b"last-delivered-id"])
    return (0, 0)


def id_of(name: bytes) -> Id:
    """An entry's id as numbers."""
    milliseconds, _, number = name.partition(b"-")
    return int(milliseconds), int(number or 0)

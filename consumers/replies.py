"""What a Redis server answers about entries, in one shape for all versions."""

from collections.abc import Sequence
from typing import Any

from consumers.envelopes import load_command
from sagas.ports import GONE, Command, EntryState

Entry = tuple[bytes, dict[bytes, bytes]]


def pair(entry: Any) -> Entry:
    """An entry as (id, fields); one that was deleted while it was pending has none."""
    name, flat = entry
    fields: list[bytes] = flat or []
    return name, dict(zip(fields[::2], fields[1::2], strict=True))


def by_key(entries: Sequence[str]) -> dict[str, list[str]]:
    """Entries that are named `stream id`, by stream."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        key, name = entry.split(" ")
        found.setdefault(key, []).append(name)
    return found


def entry_state(entries: Any, pending: Any, idle_ms_max: int) -> EntryState:
    """Where an entry is, by what XRANGE and XPENDING say of it; one that nobody renews is gone (rule L5)."""
    if not entries or (pending and pending[0][2] > idle_ms_max):
        return GONE
    command = load_command(pair(entries[0])[1].get(b"b", b""))
    timeout = command.timeout if isinstance(command, Command) else 0.0
    return EntryState("pending" if pending else "queued", timeout)

"""What a Redis server answers about entries, in one shape for all versions."""

from collections.abc import Sequence
from typing import Any

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


def id_of(name: bytes) -> Id:
    """An entry's id as numbers."""
    milliseconds, _, number = name.partition(b"-")
    return int(milliseconds), int(number or 0)

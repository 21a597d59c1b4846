"""Taking over what nobody renews, over several streams in one round trip (rule L2)."""

from collections.abc import Sequence
from typing import Any

from consumers.memory import ServerMemory
from consumers.replies import Entry, pair
from consumers.wire import Wire

PENDING_MAX = 10_000


async def auto_claim(
    wire: Wire, memory: ServerMemory, keys: Sequence[str], group: str, consumer: str, idle_ms: int, count: int
) -> list[tuple[str, Entry]]:
    """Entries that were idle for so long, each with its stream; they are this consumer's now.

    One call looks at some entries only, so each cursor is followed to its end.
    """
    found: list[tuple[str, Entry]] = []
    cursors: dict[str, Any] = dict.fromkeys(keys, "0-0")
    while cursors and len(found) < count:
        claims = [
            ("XAUTOCLAIM", key, group, consumer, idle_ms, cursor, "COUNT", count) for key, cursor in cursors.items()
        ]
        for key, answer in zip(list(cursors), await wire.many(claims, forgiven="NOGROUP"), strict=True):
            told: list[Any] = answer or [b"0-0", []]
            cursors[key], gone = told[0], told[2:]
            entries: list[Any] = told[1]
            found += [(key, pair(entry)) for entry in entries if entry and entry[0] is not None]
            nameless = any(not entry or entry[0] is None for entry in entries)
            if nameless:
                await _forget(wire, key, group, consumer)
            if nameless or any(gone):
                await memory.lost()  # deleted ids: somebody trimmed the stream
        cursors = {key: cursor for key, cursor in cursors.items() if cursor != b"0-0"}
    return found


async def _forget(wire: Wire, key: str, group: str, consumer: str) -> None:
    """Forget what is ours and was deleted: Redis 6.2 keeps it pending for ever, and does not say which it is."""
    (pending,) = await wire.many([("XPENDING", key, group, "-", "+", PENDING_MAX, consumer)], forgiven="NOGROUP")
    names = [name for name, *_ in pending or ()]
    if names:
        bodies = await wire.many([("XRANGE", key, name, name) for name in names])
        if deleted := [name for name, body in zip(names, bodies, strict=True) if not body]:
            await wire.many([("XACK", key, group, *deleted)], forgiven="NOGROUP")

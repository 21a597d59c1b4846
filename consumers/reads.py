"""Reads of consumer groups: what is new in streams, or what a consumer holds of them."""

from collections.abc import Sequence
from typing import Any

from consumers.replies import Entry, pair
from consumers.wire import Wire
from sagas.ports import TransportRefused

BLOCK_SECONDS_MAX = 5.0
GONE = ("NOGROUP", "UNBLOCKED")


async def read_groups(
    wire: Wire, group: str, consumer: str, reads: Sequence[Sequence[str]], count: int, block_seconds: float, start: str
) -> tuple[list[tuple[bytes, list[Entry]]], bool]:
    """Read in one round trip: each of `reads` is of some streams, with up to `count` entries of each.

    One that blocks, for `block_seconds`, comes alone. The entries by stream; and whether some groups are gone.

    Raises:
        TransportRefused: the server refuses it; what else was read is pending. TransportUnavailable: no answer.
    """
    seconds = min(block_seconds, BLOCK_SECONDS_MAX)
    blocking = ("BLOCK", max(1, int(seconds * 1000))) if seconds else ()
    head = ("XREADGROUP", "GROUP", group, consumer, "COUNT", count, *blocking, "STREAMS")
    answers = await wire.wait([(*head, *keys, *[start] * len(keys)) for keys in reads], seconds)
    refusals = [answer for answer in answers if isinstance(answer, Exception)]
    for refused in refusals:
        if not str(refused).startswith(GONE):
            raise TransportRefused(str(refused)) from refused
    read: list[list[Any]] = [answer or [] for answer in answers if not isinstance(answer, Exception)]
    found = [(key, [pair(entry) for entry in entries]) for streams in read for key, entries in streams]
    return found, bool(refusals)

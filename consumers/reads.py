"""Reads of consumer groups: what is new in streams, or what a consumer holds of them."""

from collections.abc import Sequence

from consumers.replies import Entry, pair
from consumers.wire import Wire
from sagas.ports import TransportRefused

BLOCK_SECONDS_MAX = 5.0
GONE = ("NOGROUP", "UNBLOCKED")


async def read_groups(
    wire: Wire, group: str, consumer: str, keys: Sequence[str], count: int, block_seconds: float, start: str
) -> tuple[list[tuple[bytes, list[Entry]]], bool]:
    """Read up to `count` entries of each stream, and block for so long if there are none.

    The entries by stream; and whether a group is gone, so that none were read.

    Raises:
        TransportRefused: the server refuses it. TransportUnavailable: there is no answer.
    """
    seconds = min(block_seconds, BLOCK_SECONDS_MAX)
    blocking = ("BLOCK", max(1, int(seconds * 1000))) if seconds else ()
    head = ("XREADGROUP", "GROUP", group, consumer, "COUNT", count, *blocking, "STREAMS")
    answer = await wire.wait((*head, *keys, *[start] * len(keys)), seconds)
    if isinstance(answer, Exception):
        if str(answer).startswith(GONE):
            return [], True
        raise TransportRefused(str(answer)) from answer
    return [(key, [pair(entry) for entry in entries]) for key, entries in answer or ()], False

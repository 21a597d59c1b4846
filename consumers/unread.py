"""What stands in the stream of outcomes: what is acknowledged is deleted (rule A11)."""

from collections.abc import Collection

from consumers.envelopes import load_word
from consumers.keys import ORCHESTRATORS, OUTCOMES
from consumers.replies import id_of, length_of, pair
from consumers.scripts import REVIVE
from consumers.wire import Wire
from sagas.inputs import Outcome
from sagas.ports import TransportRefused
from sagas.state import Waiting
from sagas.unread import Unread

PAGE = 64
"""How many outcomes are looked at in one round trip: each may be large."""


async def unread_of(wire: Wire) -> Unread | None:
    """The first and the last that stand there, in one round trip."""
    oldest, newest, (seconds, micros), count = await wire.many(
        [
            ("XRANGE", OUTCOMES, "-", "+", "COUNT", 1),
            ("XREVRANGE", OUTCOMES, "+", "-", "COUNT", 1),
            ("TIME",),
            ("XLEN", OUTCOMES),
        ]
    )
    if not (oldest and newest):
        return None
    first, last = (id_of(pair(entry)[0]) for entry in (oldest[0], newest[0]))
    return Unread(first, last, max(int(seconds) + int(micros) / 1e6 - first[0] / 1000, 0.0), length_of(count))


async def told_of(wire: Wire, waits: Collection[Waiting]) -> set[Waiting]:
    """Of which of these commands an outcome stands there; one that is put to the end meanwhile is met there."""
    found: set[Waiting] = set()
    start = "-"
    while True:
        (page,) = await wire.many([("XRANGE", OUTCOMES, start, "+", "COUNT", PAGE)])
        for name, fields in map(pair, page):
            word = load_word(fields.get(b"b", b""))
            if isinstance(word, Outcome):
                found.add((word.saga_id, word.opened_by))
            milliseconds, number = id_of(name)
            start = f"{milliseconds}-{number + 1}"
        if len(page) < PAGE:
            return found.intersection(waits)


async def has_group(wire: Wire) -> bool:
    """Whether the group of orchestrators is there; it is made, unless nothing can be written now."""
    try:
        await make_group(wire)
    except TransportRefused:
        (groups,) = await wire.many([("XINFO", "GROUPS", OUTCOMES)], forgiven="no such key")
        return any(ORCHESTRATORS.encode() in about for about in groups or ())
    return True


async def make_group(wire: Wire) -> None:
    """Make the group of orchestrators, unless it is there."""
    try:
        await wire.many([("XGROUP", "CREATE", OUTCOMES, ORCHESTRATORS, "0", "MKSTREAM")])
    except TransportRefused as refused:
        if "BUSYGROUP" not in str(refused):
            raise


async def revive(wire: Wire) -> int:
    """Put to the end what was handed out and what nobody holds, as it would be given to nobody; how much that was."""
    (found,) = await wire.many([("EVAL", REVIVE, 1, OUTCOMES, ORCHESTRATORS)])
    return int(found)

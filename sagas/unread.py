"""Outcomes that nobody has acknowledged: they stand in their stream, in the order in which they came (rule A11)."""

from collections.abc import Collection
from typing import Protocol

from sagas.records import record
from sagas.state import Waiting

FEW = 64
"""So many outcomes are all looked at whenever a command is to be judged."""
Place = tuple[int, int]
"""Where an entry stands in its stream. Places only grow, whatever becomes of clocks, until the stream is made anew."""


@record
class Unread:
    """The places of the first and of the last, for how many seconds the first has stood there, and how many there are.

    All that stood there at some instant is committed, or was put to the end, when the first has a higher place than the
    last had then. When the last has a lower one, the stream is another, and says nothing of that instant.
    """

    first: Place
    last: Place
    seconds: float
    count: int = 1


class Outcomes(Protocol):
    """The outcomes that nobody has acknowledged, whoever has them in hand. Both raise `TransportUnavailable`."""

    async def unread(self) -> Unread | None:
        """Where they stand; `None` when there are none."""
        ...

    async def told_of(self, waits: Collection[Waiting]) -> set[Waiting]:
        """Of which of these commands an outcome stands there, or stood there when it was asked: all are looked at."""
        ...

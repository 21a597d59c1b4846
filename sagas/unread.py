"""Outcomes that nobody has acknowledged: they stand in their stream, in the order in which they came (rule A11)."""

from sagas.records import record

Place = tuple[int, int]
"""Where an entry stands in its stream. Places only grow, whatever becomes of clocks, until the stream is made anew."""


@record
class Unread:
    """The places of the first and of the last, and since how many seconds the first has stood there.

    All that stood there at some instant is committed when the first has a higher place than the last had then. When the
    last has a lower one, the stream is another, and says nothing of that instant.
    """

    first: Place
    last: Place
    seconds: float

"""Which commands a worker takes first: the more urgent ones, but never so that others wait for ever (rule C4)."""

from collections import Counter
from collections.abc import Collection, Sequence

from sagas.manifest import Priority

PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")
AHEAD_MAX = 10
"""While a command waits, each worker takes at most so many of a higher priority for each one of its own."""
YIELDING: tuple[Priority, ...] = ("low", "normal")
"""Those whose turn comes, in the order in which a read serves them first."""


class Turns:
    """How many commands of a higher priority one worker has taken since it last served a lower one."""

    def __init__(self) -> None:
        self._ahead = dict.fromkeys(YIELDING, 0)

    def owed(self, priority: Priority, room: int) -> int:
        """How many of this priority a read serves first that has so much room left."""
        return min((self._ahead[priority] + room) // (AHEAD_MAX + 1), room)

    def took(self, taken: Sequence[Priority], empty: Collection[Priority]) -> None:
        """Take note of what a read has taken, and of the priorities in which it found that nothing waits."""
        counts = Counter(taken)
        for priority in YIELDING:
            higher = sum(counts[other] for other in PRIORITIES[: PRIORITIES.index(priority)])
            ahead = self._ahead[priority] + higher - counts[priority] * AHEAD_MAX
            self._ahead[priority] = 0 if priority in empty else max(ahead, 0)

"""Heads that this process has written itself, so that the next input of their sagas needs no query (rule A8).

Whatever is decided on such a head is final only by a commit, whose version guard proves that it was the last. Where
other processes move the same sagas the guard refuses much of it: then nothing is remembered for a while.
"""

from collections import OrderedDict
from collections.abc import Iterable

from sagas.state import State

HEADS_MAX = 4096
KEPT_SECONDS = 2.0
TRIED_MIN, LOST_SHARE_MAX = 256, 0.05
PAUSE_SECONDS = 10.0


class Remembered:
    """At most `HEADS_MAX` heads of open sagas."""

    def __init__(self) -> None:
        self._heads: OrderedDict[str, State] = OrderedDict()
        self._tried = self._lost = 0
        self._off_until = 0.0

    def of(self, saga_ids: Iterable[str]) -> dict[str, State]:
        """The heads that are remembered of these."""
        found: dict[str, State] = {}
        for saga_id in saga_ids:
            if (head := self._heads.get(saga_id)) is not None:
                found[saga_id] = head
        return found

    def forget(self, saga_ids: Iterable[str]) -> None:
        """These may not be the last any more."""
        for saga_id in saga_ids:
            self._heads.pop(saga_id, None)

    def clear(self) -> None:
        """The store was away: it may be another, that has taken its place, and lacks what this one had."""
        self._heads.clear()

    def keep(self, head: State, now: float) -> None:
        """Remember what was committed."""
        if head.terminal or now < self._off_until:
            self._heads.pop(head.saga_id, None)
            return
        self._heads[head.saga_id] = head
        if len(self._heads) > HEADS_MAX:
            self._heads.popitem(last=False)

    def learn(self, tried: int, lost: int, now: float) -> None:
        """So many remembered heads were decided on, and so many of them had been moved by somebody else."""
        self._tried += tried
        self._lost += lost
        if self._tried < TRIED_MIN:
            return
        if self._lost > self._tried * LOST_SHARE_MAX:
            self._heads.clear()
            self._off_until = now + PAUSE_SECONDS
        self._tried = self._lost = 0

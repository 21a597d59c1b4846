"""Heads that this process has written itself, so that the next input of their sagas needs no query (rule A8).

Whatever is decided on such a head is final only by a commit, whose version guard proves that it was the last. Where
other processes move the same sagas the guard refuses much of it: then nothing is remembered for a while.

The guard compares numbers: a store that lost its last commits gives them out again, to other events. So nothing is
remembered for longer than it takes a store to be replaced.
"""

from collections import OrderedDict
from collections.abc import Iterable

from sagas.state import State

RECORDS_MAX = 32_768
KEPT_SECONDS = 2.0
TRIED_MIN, LOST_SHARE_MAX = 256, 0.05
PAUSE_SECONDS = 10.0


class Remembered:
    """Heads of open sagas that were committed lately; with their steps and items they are `RECORDS_MAX` at most."""

    def __init__(self) -> None:
        self._heads: OrderedDict[str, tuple[float, State]] = OrderedDict()
        self._records = 0
        self._tried = self._lost = 0
        self._off_until = 0.0

    def of(self, saga_ids: Iterable[str], now: float) -> dict[str, State]:
        """The heads that are remembered of these."""
        self._give_way(now)
        return {saga_id: self._heads[saga_id][1] for saga_id in saga_ids if saga_id in self._heads}

    def forget(self, saga_ids: Iterable[str]) -> None:
        """These may not be the last any more."""
        for saga_id in saga_ids:
            if (kept := self._heads.pop(saga_id, None)) is not None:
                self._records -= _size(kept[1])

    def clear(self) -> None:
        """The store was away: it may be another, that has taken its place, and lacks what this one had."""
        self._heads.clear()
        self._records = 0

    def keep(self, head: State, now: float) -> None:
        """Remember what was committed."""
        self.forget([head.saga_id])
        if head.terminal or now < self._off_until:
            return
        self._heads[head.saga_id] = (now, head)
        self._records += _size(head)
        self._give_way(now)

    def learn(self, tried: int, lost: int, now: float) -> None:
        """So many remembered heads were decided on, and so many of them had been moved by somebody else."""
        self._tried += tried
        self._lost += lost
        if self._tried < TRIED_MIN:
            return
        if self._lost > self._tried * LOST_SHARE_MAX:
            self.clear()
            self._off_until = now + PAUSE_SECONDS
        self._tried = self._lost = 0

    def _give_way(self, now: float) -> None:
        """The oldest are forgotten."""
        while self._heads:
            at, head = next(iter(self._heads.values()))
            if self._records <= RECORDS_MAX and now - at <= KEPT_SECONDS:
                return
            self.forget([head.saga_id])


def _size(head: State) -> int:
    return 1 + len(head.steps)

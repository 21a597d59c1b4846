"""Grace: after the store could not be written for a while, what is due is left alone for one lease (rule A11).

Outcomes have gathered meanwhile, and nobody could confirm what was sent: judged at once, all of it would seem lost.
"""

from collections import deque
from math import inf

from sagas.ports import Clock

GAP_SECONDS = 5.0
AWAY_SECONDS = 1.5
"""Where nothing could be written for so long, somebody who confirms each second may have missed it."""
PROOFS_MAX = 64


class Grace:
    """Knows since when the store takes what is written; that it can be read says nothing.

    A full disk and a standby are read as ever: so at first, and after each failure, somebody has to write something.
    """

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._well_at = self._failed_at = clock.monotonic()
        self._until = 0.0
        self._proofs = deque[tuple[float, float]](maxlen=PROOFS_MAX)
        self.doubtful = True
        """Whether nothing has been written since the store was away, or since this process began."""

    @property
    def proven_at(self) -> float:
        """When the last proof had ended, if none has failed since (this process's monotonic clock)."""
        return self._proofs[-1][0] if self._proofs else -inf

    @property
    def seconds(self) -> float:
        """How long due waits are left alone still."""
        return max(self._until - self._clock.monotonic(), 0.0)

    def failed(self) -> None:
        """The store was away, or did not take something."""
        self.doubtful = True
        self._failed_at = self._clock.monotonic()

    def refused(self) -> None:
        """A proof failed."""
        self.doubtful = True
        self._proofs.clear()

    def proved(self, began: float) -> None:
        """Something was written, to see whether it can be; when that `began`, by the database's clock."""
        self._proofs.append((self._clock.monotonic(), began))

    def written(self) -> None:
        """Something was written. What was proved before the store was away for longer proves nothing any more."""
        if self.doubtful and self._clock.monotonic() - self._well_at > AWAY_SECONDS:
            while self._proofs and self._proofs[0][0] <= self._failed_at:
                self._proofs.popleft()
        self.doubtful = False
        self.looked()

    def proof(self, ended: float) -> float:
        """When the last proof began that had `ended` by then, by the database's clock; -inf if there was none."""
        while len(self._proofs) > 1 and self._proofs[1][0] <= ended:
            self._proofs.popleft()
        return self._proofs[0][1] if self._proofs and self._proofs[0][0] <= ended else -inf

    def looked(self) -> None:
        """The store was read. Where nothing has failed since something was written, it is well."""
        if self.doubtful:
            return
        now = self._clock.monotonic()
        if now - self._well_at > GAP_SECONDS:
            self._until = now + self._lease_seconds
        self._well_at = now

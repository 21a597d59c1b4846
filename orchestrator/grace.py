"""Grace: after the store could not be written for a while, what is due is left alone for one lease (rule A11).

Outcomes have gathered meanwhile, and nobody could confirm what was sent: judged at once, all of it would seem lost.
"""

from math import inf

from sagas.ports import Clock

GAP_SECONDS = 5.0
APART_SECONDS = 3.0
"""What is written further apart, or takes longer, leaves room for a time in which nobody could write."""


class Grace:
    """Knows since when the store takes what is written; that it can be read says nothing.

    A full disk and a standby are read as ever: so at first, and after each failure, somebody has to write something.
    """

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._well_at = clock.monotonic()
        self._since = inf
        self._until = 0.0
        self.written_at = -inf
        """When something was written last, as far as is known here (this process's monotonic clock)."""
        self.doubtful = True
        """Whether nothing has been written since the store was away, or since this process began."""

    @property
    def written_seconds(self) -> float:
        """For how long whatever was written went in, without long pauses."""
        return self._clock.monotonic() - self._since

    @property
    def seconds(self) -> float:
        """How long due waits are left alone still."""
        return max(self._until - self._clock.monotonic(), 0.0)

    def failed(self) -> None:
        """The store was away."""
        self.doubtful = True

    def refused(self) -> None:
        """Something could not be written."""
        self.doubtful, self._since = True, inf

    def written(self) -> None:
        """Something was written."""
        now = self._clock.monotonic()
        if now - self.written_at > APART_SECONDS or self._since > now:
            self._since = now
        self.written_at = now
        self.doubtful = False
        self.looked()

    def looked(self) -> None:
        """The store was read. Where nothing has failed since something was written, it is well."""
        if self.doubtful:
            return
        now = self._clock.monotonic()
        if now - self._well_at > GAP_SECONDS:
            self._until = now + self._lease_seconds
        self._well_at = now

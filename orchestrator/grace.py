"""Grace: after the store could not be written for a while, what is due is left alone for one lease (rule A11).

Outcomes have gathered meanwhile, and nobody could confirm what was sent: judged at once, all of it would seem lost.
"""

from sagas.ports import Clock

GAP_SECONDS = 5.0


class Grace:
    """Knows since when the store takes what is written, as far as that can be known; reading says nothing of it.

    A full disk and a standby are read as ever. So after a failure somebody has to write something first. Even that may
    work where an append fails, which needs more room: then nothing was proven.
    """

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._well_at = clock.monotonic()
        self._before: float | None = None
        self._until = 0.0
        self.doubtful = False
        """Whether something could not be written, and nothing has been since."""

    @property
    def seconds(self) -> float:
        """How long due waits are left alone still."""
        return max(self._until - self._clock.monotonic(), 0.0)

    def failed(self) -> None:
        """The store was away, or refused to write."""
        if self._before is not None:
            self._well_at, self._before = self._before, None
        self.doubtful = True

    def proven(self) -> None:
        """Something small was written, or there is nothing to be judged: so it is until an append fails."""
        self._before = self._well_at
        self._well()

    def committed(self) -> None:
        """An append went in."""
        self._before = None
        self._well()

    def looked(self) -> None:
        """The store was read, and nothing has failed."""
        if not self.doubtful:
            self._well()

    def _well(self) -> None:
        now = self._clock.monotonic()
        if now - self._well_at > GAP_SECONDS:
            self._until = now + self._lease_seconds
        self._well_at = now
        self.doubtful = False

"""Grace: after the store could not be written for a while, what is due is left alone for one lease (rule A11).

Outcomes have gathered meanwhile, and nobody could confirm what was sent: judged at once, all of it would seem lost.
"""

from sagas.ports import Clock

GAP_SECONDS = 5.0


class Grace:
    """Knows since when the store takes what is written; that it can be read says nothing.

    A full disk and a standby are read as ever, so at first and after each failure somebody has to write something.
    Even that may work where an append fails, which needs more room: then nothing was proven.
    """

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._well_at = clock.monotonic()
        self._before: float | None = None
        self._since: float | None = None
        self._until = 0.0
        self.written_at = clock.monotonic()
        """When something was written last, as far as is known here (this process's monotonic clock)."""

    @property
    def doubtful(self) -> bool:
        """Whether nothing has been written since the store was away, or since this process began."""
        return self._since is None

    @property
    def written_seconds(self) -> float:
        """For how long the store has taken what is written."""
        return 0.0 if self._since is None else self._clock.monotonic() - self._since

    @property
    def seconds(self) -> float:
        """How long due waits are left alone still."""
        return max(self._until - self._clock.monotonic(), 0.0)

    def failed(self) -> None:
        """The store was away, or refused to write."""
        if self._before is not None and self.written_seconds < self._lease_seconds + GAP_SECONDS:
            self._well_at = self._before
        self._before = self._since = None

    def proven(self) -> None:
        """Something small was written. If the append that follows fails, that was too little."""
        if self._since is None:
            self._before = self._well_at
        self._written()

    def committed(self) -> None:
        """An append went in."""
        self._before = None
        self._written()

    def looked(self) -> None:
        """The store was read, and nothing has failed."""
        if not self.doubtful:
            self._well()

    def _written(self) -> None:
        self.written_at = self._clock.monotonic()
        if self._since is None:
            self._since = self.written_at
        self._well()

    def _well(self) -> None:
        now = self._clock.monotonic()
        if now - self._well_at > GAP_SECONDS:
            self._until = now + self._lease_seconds
        self._well_at = now

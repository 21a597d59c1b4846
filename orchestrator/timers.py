"""Timers: what is due, and what became of commands that were sent or never sent (rules A11, C1, C9, L5)."""

import logging
from collections.abc import Sequence

from sagas.inputs import Due
from sagas.ports import Clock, CommandSender, Store, TransportUnavailable, WaitRow
from sagas.state import COMMAND_KINDS

log = logging.getLogger("amends.timers")

LOOK_SECONDS_MAX = 2.0
SWEEP_SECONDS = 5.0
GAP_SECONDS = 5.0
QUEUED_SECONDS_MAX = 60.0
MOVED_ON_MAX = 10_000
Waiting = tuple[str, int]


class Timers:
    """Finds the waits whose time has come and says what to make of each."""

    def __init__(self, store: Store, sender: CommandSender, clock: Clock, lease_seconds: float, batch: int) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._batch = batch
        self._moved_on: dict[Waiting, float] = {}
        self._committed_at = clock.monotonic()
        self._grace_until = 0.0

    @property
    def grace_seconds(self) -> float:
        """How long due waits are left alone still."""
        return max(self._grace_until - self._clock.monotonic(), 0.0)

    def committed(self) -> None:
        """The store works. After a gap of more than 5 s, what is due gets one lease of grace (rule A11)."""
        now = self._clock.monotonic()
        if now - self._committed_at > GAP_SECONDS:
            self._grace_until = now + self._lease_seconds
        self._committed_at = now

    async def due(self, *, drained: bool) -> list[Due]:
        """The inputs of all waits that are due; those that judge an outcome only if the outcomes are `drained`."""
        rows = await self._store.due(self._batch)
        self.committed()
        if self._clock.monotonic() < self._grace_until:
            return []
        found = [Due(row.saga_id, row.opened_by) for row in rows if row.kind not in COMMAND_KINDS]
        if drained:
            commands = [row for row in rows if row.kind in COMMAND_KINDS]
            found += await self._checked(commands)
            found += await self._never_sent()
        return found

    async def _never_sent(self) -> list[Due]:
        """Commands that nobody sent, or confirmed, in time: their next attempt is scheduled (rule C1)."""
        rows = await self._store.unpublished(SWEEP_SECONDS, self._batch)
        return [Due(row.saga_id, row.opened_by, "lost") for row in rows]

    async def _checked(self, rows: Sequence[WaitRow]) -> list[Due]:
        """The check of commands that were sent: still queued, still running, or lost (rule L5)."""
        found: list[Due] = []
        sent = [row for row in rows if row.entry_id is not None]  # the others are the sweep's
        if not sent:
            return found
        try:
            states = await self._sender.inspect(sent)
        except TransportUnavailable as loss:
            log.warning("cannot look for %d commands: %s", len(sent), loss)
            return found
        later: list[tuple[str, int, float]] = []
        now = self._clock.monotonic()
        for row, state in zip(sent, states, strict=True):
            key = (row.saga_id, row.opened_by)
            if state.place == "gone":
                found.append(Due(*key, "lost"))
            elif state.place == "queued":
                later.append((*key, min(state.timeout + 2 * self._lease_seconds, QUEUED_SECONDS_MAX)))
            elif (until := self._moved_on.setdefault(key, now + state.timeout + self._lease_seconds)) <= now:
                found.append(Due(*key, "timed_out"))
            else:  # it may have begun just now; looking again before its time says nothing
                later.append((*key, until - now))
        if later:
            await self._store.postpone(later)
        for due in found:
            self._moved_on.pop((due.saga_id, due.opened_by), None)
        while len(self._moved_on) > MOVED_ON_MAX:  # most end by themselves; the oldest may be moved on once more
            self._moved_on.pop(next(iter(self._moved_on)))
        return found

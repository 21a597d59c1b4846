"""Timers: what is due, and what became of commands that were sent or never sent (rules A11, C1, C9, L5)."""

import logging
from collections.abc import Sequence
from math import inf

from orchestrator.limits import StartLimits
from sagas.inputs import Due
from sagas.numbers import UNREAD_SECONDS
from sagas.peek import Peek
from sagas.points import buggify
from sagas.ports import Clock, CommandSender, Store, TransportUnavailable, WaitRow
from sagas.records import record
from sagas.state import COMMAND_KINDS, is_start_limit

log = logging.getLogger("amends.timers")

LOOK_SECONDS_MAX = 1.0
SWEEP_SECONDS = 5.0
GAP_SECONDS = 5.0
QUEUED_SECONDS_MAX = 60.0
AGAIN_SECONDS, AGAIN_SECONDS_MAX = 0.2, 5.0
CLOCKS_SECONDS = 0.02
PATIENCE_LEASES = 4
REMEMBERED_MAX = 10_000
Waiting = tuple[str, int]


@record
class WhatIsDue:
    """Waits that are over, as inputs, and messages that one saga owes another (rule B5)."""

    words: tuple[Due, ...] = ()
    messages: tuple[WaitRow, ...] = ()


class Timers:
    """Finds the waits whose time has come and says what to make of each."""

    def __init__(self, store: Store, sender: CommandSender, clock: Clock, lease_seconds: float, batch: int) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._batch = batch
        self._limits = StartLimits(store, sender)
        self._moved_on: dict[Waiting, float] = {}
        self._gone: dict[Waiting, float] = {}
        self._committed_at = clock.monotonic()
        self._grace_until = 0.0
        self._stalled = False

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
        self._stalled = False

    def stalled(self) -> None:
        """Nothing can be committed; that reading works says nothing (a full disk, a standby)."""
        self._stalled = True

    async def due(self, peek: Peek, *, drained: bool) -> WhatIsDue:
        """What is due, after a glance; what judges an outcome only if the outcomes are `drained`.

        While nothing can be committed the first alone tries it: the others get their grace when it goes in.
        """
        rows = await self._store.due(self._batch) if peek.due_at is not None and peek.due_at <= peek.now else []
        if self._stalled:
            rows = rows[:1]
        else:
            self.committed()
        if self._clock.monotonic() < self._grace_until:
            return WhatIsDue()
        messages = [row for row in rows if row.kind == "notify"]
        limits = [row for row in rows if is_start_limit(row)]
        others = [row for row in rows if row.kind not in (*COMMAND_KINDS, "notify") and not is_start_limit(row)]
        found = [Due(row.saga_id, row.opened_by) for row in others] + await self._limits.judged(limits)
        if drained:
            commands = [row for row in rows if row.kind in COMMAND_KINDS]
            found += await self._checked(commands)
            found += await self._never_sent(peek)
        return WhatIsDue(tuple(found), tuple(messages))

    async def _never_sent(self, peek: Peek) -> list[Due]:
        """Commands that nobody sent, or confirmed, in time: their next attempt is scheduled (rule C1)."""
        if peek.unconfirmed_since is None or peek.unconfirmed_since > peek.now - SWEEP_SECONDS:
            return []
        rows = await self._store.unpublished(SWEEP_SECONDS, self._batch)
        return [Due(*key, "lost") for key in await self._surely([(row.saga_id, row.opened_by) for row in rows])]

    async def _surely(self, gone: Sequence[Waiting]) -> list[Waiting]:
        """Of commands that stand in no stream those that have left no outcome either.

        A step that ended since the outcomes were read has put its own into the stream before its entry went (rule C5):
        only when all that stood there at the first sight is committed is there none, whoever read it (rule A11). One
        that nobody renewed, or confirmed, may end later still: so nothing may have stood for `UNREAD_SECONDS` either,
        unless something always does, as outcomes do that only a newer program can apply.
        """
        if not gone:
            return []
        now = self._clock.monotonic()
        if buggify("timers.forget"):
            self._gone.clear()
        seen = {key: self._gone.setdefault(key, now) for key in gone}
        try:
            oldest = await self._sender.oldest_outcome()
        except TransportUnavailable as loss:
            log.warning("cannot look for outcomes: %s", loss)
            return []
        since = self._clock.monotonic()
        unread = -inf if oldest is None else oldest + CLOCKS_SECONDS
        quick = since - now < UNREAD_SECONDS
        patience = PATIENCE_LEASES * self._lease_seconds
        sure = [
            key
            for key, first in seen.items()
            if unread < since - first and (unread < UNREAD_SECONDS or (quick and now - first >= patience))
        ]
        for key in sure:
            self._gone.pop(key, None)
        _shorten(self._gone)
        return sure

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
        gone: list[Waiting] = []
        now = self._clock.monotonic()
        for row, state in zip(sent, states, strict=True):
            key = (row.saga_id, row.opened_by)
            if state.place == "gone":
                gone.append(key)
                continue
            self._gone.pop(key, None)  # somebody renews it again
            if state.place == "queued":
                later.append((*key, min(state.timeout + 2 * self._lease_seconds, QUEUED_SECONDS_MAX)))
            elif (until := self._moved_on.setdefault(key, now + state.timeout + self._lease_seconds)) <= now:
                found.append(Due(*key, "timed_out"))
            else:  # it may have begun just now; looking again before its time says nothing
                later.append((*key, until - now))
        sure = await self._surely(gone)
        later += [(*key, self._again_seconds(key, now)) for key in gone if key not in sure]
        if later:
            await self._store.postpone(later)
        found += [Due(*key, "lost") for key in sure]
        for due in found:
            self._moved_on.pop((due.saga_id, due.opened_by), None)
        _shorten(self._moved_on)
        return found

    def _again_seconds(self, key: Waiting, now: float) -> float:
        """When to look again for what is gone: the longer it is, the later."""
        return min(max((now - self._gone.get(key, now)) / 4, AGAIN_SECONDS), AGAIN_SECONDS_MAX)


def _shorten(remembered: dict[Waiting, float]) -> None:
    """Most end by themselves; the oldest may be seen for the first time once more."""
    while len(remembered) > REMEMBERED_MAX:
        remembered.pop(next(iter(remembered)))

"""Timers: what is due, and what became of commands that were sent or never sent (rules A11, C1, C9, L5)."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from orchestrator.limits import StartLimits
from sagas.inputs import Due
from sagas.numbers import UNREAD_SECONDS
from sagas.peek import Peek
from sagas.points import buggify
from sagas.ports import Clock, CommandSender, Store, TransportUnavailable, WaitRow
from sagas.records import record, replace
from sagas.state import COMMAND_KINDS, is_start_limit
from sagas.unread import Place, Unread

log = logging.getLogger("amends.timers")

LOOK_SECONDS_MAX = 1.0
SWEEP_SECONDS = 5.0
GAP_SECONDS = 5.0
QUEUED_SECONDS_MAX = 60.0
AGAIN_SECONDS, AGAIN_SECONDS_MAX = 0.2, 5.0
PATIENCE_LEASES = 4
REMEMBERED_MAX = 10_000
FORGET_SECONDS = 60.0
Waiting = tuple[str, int]


Why = Literal["unconfirmed", "gone", "over time"]


@record
class _Sight:
    """Why a command is to be judged, when it was first found so and when last, and the last outcome that stood then."""

    why: Why
    first: float
    last: float
    stood: Place

    def goes_on(self, why: Why, now: float, unread: Unread) -> bool:
        """Whether nothing is known to have come between: another condition or stream, or looks of somebody else."""
        return self.why == why and now - self.last <= FORGET_SECONDS and unread.last >= self.stood


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
        self._sights: dict[Waiting, _Sight] = {}
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

    async def due(self, peek: Peek) -> WhatIsDue:
        """What is due, after a glance.

        While nothing can be committed the first alone tries it: the others get their grace when it goes in.
        """
        self._forget(self._clock.monotonic())
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
        found += await self._checked([row for row in rows if row.kind in COMMAND_KINDS])
        found += await self._never_sent(peek)
        return WhatIsDue(tuple(found), tuple(messages))

    async def _never_sent(self, peek: Peek) -> list[Due]:
        """Commands that nobody sent, or confirmed, in time: their next attempt is scheduled (rule C1)."""
        if peek.unconfirmed_since is None or peek.unconfirmed_since > peek.now - SWEEP_SECONDS:
            return []
        rows = await self._store.unpublished(SWEEP_SECONDS, self._batch)
        sure = await self._without_outcome({(row.saga_id, row.opened_by): "unconfirmed" for row in rows})
        return [Due(*key, "lost") for key in sure]

    async def _without_outcome(self, found: Mapping[Waiting, Why]) -> list[Waiting]:
        """Of commands that are to be judged those that have left no outcome, whoever has it in hand (rule A11).

        A step that ended before its command was found so has put its outcome into the stream before (rule C5): there is
        none if all that stood there at that first sight is committed. A command that nobody renewed, or confirmed, may
        end later still: so nothing may have stood for `UNREAD_SECONDS` either, unless something always does, as
        outcomes do that only a newer program can apply.
        """
        if not found:
            return []
        now = self._clock.monotonic()
        if buggify("timers.forget"):
            self._sights.clear()
        try:
            unread = await self._sender.unread()
        except TransportUnavailable as loss:
            log.warning("cannot look for outcomes: %s", loss)
            return []
        if unread is None:
            self._forget_all(found)
            return list(found)
        quick = self._clock.monotonic() - now < UNREAD_SECONDS
        patience = PATIENCE_LEASES * self._lease_seconds
        sure: list[Waiting] = []
        for key, why in found.items():
            sight = self._sights.get(key)
            if sight is None or not sight.goes_on(why, now, unread):
                sight = _Sight(why, now, now, unread.last)
            self._sights[key] = replace(sight, last=now)
            impatient = quick and now - sight.first >= patience
            if unread.first > sight.stood and (unread.seconds < UNREAD_SECONDS or impatient):
                sure.append(key)
        self._forget_all(sure)
        return sure

    async def _checked(self, rows: Sequence[WaitRow]) -> list[Due]:
        """The check of commands that were sent: still queued, still running, or lost (rule L5)."""
        sent = [row for row in rows if row.entry_id is not None]  # the others are the sweep's
        if not sent:
            return []
        try:
            states = await self._sender.inspect(sent)
        except TransportUnavailable as loss:
            log.warning("cannot look for %d commands: %s", len(sent), loss)
            return []
        later: list[tuple[str, int, float]] = []
        judged: dict[Waiting, Why] = {}
        now = self._clock.monotonic()
        for row, state in zip(sent, states, strict=True):
            key = (row.saga_id, row.opened_by)
            if state.place == "gone":
                judged[key] = "gone"
                continue
            if state.place == "queued":
                later.append((*key, min(state.timeout + 2 * self._lease_seconds, QUEUED_SECONDS_MAX)))
            elif (until := self._moved_on.setdefault(key, now + state.timeout + self._lease_seconds)) <= now:
                judged[key] = "over time"
                continue
            else:  # it may have begun just now; looking again before its time says nothing
                later.append((*key, until - now))
            self._sights.pop(key, None)  # somebody renews it again
        sure = await self._without_outcome(judged)
        later += [(*key, self._again_seconds(key, now)) for key in judged if key not in sure]
        if later:
            await self._store.postpone(later)
        return [Due(*key, "lost" if judged[key] == "gone" else "timed_out") for key in sure]

    def _again_seconds(self, key: Waiting, now: float) -> float:
        """When to look again for what is not judged: the longer it is known, the later."""
        known = now - self._sights[key].first if key in self._sights else 0.0
        return min(max(known / 4, AGAIN_SECONDS), AGAIN_SECONDS_MAX)

    def _forget_all(self, judged: Iterable[Waiting]) -> None:
        """A verdict that cannot be committed must be reached anew: the command may come to life meanwhile."""
        for key in judged:
            self._sights.pop(key, None)

    def _forget(self, now: float) -> None:
        """What ended by itself is looked for no more."""
        if len(self._sights) > REMEMBERED_MAX:
            self._sights = {key: seen for key, seen in self._sights.items() if seen.last > now - FORGET_SECONDS}
        if len(self._moved_on) > REMEMBERED_MAX:
            self._moved_on = {key: until for key, until in self._moved_on.items() if until > now - FORGET_SECONDS}

"""Timers: what is due, and what became of commands that were sent or never sent (rules A11, C1, C9, L5)."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from typing import Literal

from orchestrator.grace import Grace
from orchestrator.limits import LIMIT_SECONDS, StartLimits
from sagas.inputs import Due
from sagas.peek import Peek
from sagas.points import buggify
from sagas.ports import Clock, CommandSender, Store, StoreUnavailable, TransportUnavailable, WaitRow
from sagas.records import record, replace
from sagas.state import COMMAND_KINDS, Waiting, is_start_limit
from sagas.unread import FEW, Place, Unread

log = logging.getLogger("amends.timers")

Verdict = Literal["lost", "timed_out"]

LOOK_SECONDS_MAX = 1.0
SWEEP_SECONDS = 5.0
UNCONFIRMED_SECONDS, CONFIRMED_SECONDS, PROVE_SECONDS = 3.0, 2.0, 0.5
"""When a command was unconfirmed for so long, something is written, and so long after that it may be swept: who sends
confirms each second. So often at most."""
QUEUED_SECONDS_MAX, LATE_SHARE = 60.0, 10.0
AGAIN_SECONDS, AGAIN_SECONDS_MAX, BEHIND_SECONDS_MAX = 0.2, 5.0, 30.0
BEHIND_SECONDS, CHECK_SECONDS, PAUSE_SECONDS = 1.0, 1.0, 0.25
CHECK_SHARE, CHECK_SECONDS_MAX = 9, 30.0
"""Where many outcomes stand unread for so long, so much time is between two checks of commands, nine times as long as a
check takes at least, as nothing is applied meanwhile, but half a minute at most; and so much between two looks."""
REMEMBERED_MAX = 10_000
FORGET_SECONDS, FORGET_EVERY_SECONDS = 600.0, 60.0


@record
class _Sight:
    """When a command was first found to be judged and when last, and the last outcome that stood there at first."""

    first: float
    last: float
    stood: Place


@record
class WhatIsDue:
    """Waits that are over, as inputs; messages that one saga owes another (rule B5); commands that are to be judged.

    Those are `suspects`, each with the verdict that is right if it has left no outcome, and `unsent`, lost if so.
    `checked_since`: when the checks of commands began, if there were any (this process's monotonic clock).
    """

    words: tuple[Due, ...] = ()
    messages: tuple[WaitRow, ...] = ()
    suspects: Mapping[Waiting, Verdict] = field(default_factory=dict[Waiting, Verdict])
    unsent: tuple[Waiting, ...] = ()
    checked_since: float | None = None


@record
class Judged:
    """Verdicts, which are to be committed before all that is slow: that no outcome stands is so for an instant (A11).

    `unsure` are commands that cannot be judged yet, each with the seconds after which to look again.
    """

    words: tuple[Due, ...] = ()
    unsure: tuple[tuple[str, int, float], ...] = ()


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
        self.behind_seconds = 0.0
        """For how long the first of many outcomes has stood unread, as last seen."""
        self._check_at = self._forget_at = 0.0
        self.grace = Grace(clock, lease_seconds)

    @property
    def pause_seconds(self) -> float:
        """How long nobody needs to look: what has come is applied meanwhile."""
        return max(self.grace.seconds, PAUSE_SECONDS if self.behind_seconds >= BEHIND_SECONDS else 0.0)

    def over(self, ended: Iterable[Waiting]) -> None:
        """These waits are over: nothing is to be looked for any more."""
        for key in ended:
            self._sights.pop(key, None)
            self._moved_on.pop(key, None)

    async def due(self, peek: Peek, *, crowded: bool = False) -> WhatIsDue:
        """What is due, after a glance; `judged` goes on. `crowded`: more outcomes may have come than are read at once.

        Raises:
            StoreUnavailable: it is away, or cannot be written: nothing is judged meanwhile.
        """
        now = self._clock.monotonic()
        self._forget(now)
        checks = now >= self._check_at
        if checks:
            self.behind_seconds = 0.0
        if checks == crowded:  # the backlog goes on, or it may be over
            with suppress(TransportUnavailable):
                await self._unread()
        if self.behind_seconds < BEHIND_SECONDS:
            checks = True
        if checks:
            self._check_at = 0.0
        rows: list[WaitRow] = []
        if peek.due_at is not None and peek.due_at <= peek.now:
            rows = await self._store.due(self._batch, commands=checks)
        if self.grace.doubtful:
            await self._prove(peek.now)
            self.grace.written()
        self.grace.looked()
        if self.grace.seconds:  # what is slow comes after this: it would be a gap in each look
            return WhatIsDue()
        unconfirmed = await self._unconfirmed(peek) if checks else ()
        if unconfirmed and now - self.grace.proven_at > PROVE_SECONDS:
            await self._prove(peek.now)
        messages = [row for row in rows if row.kind == "notify"]
        limits = [row for row in rows if is_start_limit(row)]
        others = [row for row in rows if row.kind not in (*COMMAND_KINDS, "notify") and not is_start_limit(row)]
        found = [Due(row.saga_id, row.opened_by) for row in others] + await self._limits.judged(limits)
        suspects = await self._checked([row for row in rows if row.kind in COMMAND_KINDS], peek.now)
        proof = self.grace.proof(now - CONFIRMED_SECONDS)
        before = min(peek.now - SWEEP_SECONDS, proof - UNCONFIRMED_SECONDS)
        unsent = tuple((row.saga_id, row.opened_by) for row in unconfirmed if row.since <= before)
        return WhatIsDue(tuple(found), tuple(messages), suspects, unsent, now if checks else None)

    async def judged(self, due: WhatIsDue) -> Judged:
        """What to make of commands that are to be judged. Commit it at once."""
        sure = dict.fromkeys(await self._without_outcome([*due.suspects, *due.unsent]))
        if due.checked_since is not None and self.behind_seconds >= BEHIND_SECONDS:
            ended = self._clock.monotonic()
            pause = max(CHECK_SECONDS, CHECK_SHARE * (ended - due.checked_since))
            self._check_at = ended + min(pause, CHECK_SECONDS_MAX)
        return Judged(
            tuple(Due(*key, due.suspects.get(key, "lost")) for key in sure),
            tuple((*key, self._again_seconds(key)) for key in due.suspects if key not in sure),
        )

    async def _prove(self, at: float) -> None:
        try:
            await self._store.prove_writable()
        except StoreUnavailable:
            self.grace.refused()
            raise
        self.grace.proved(at)

    async def _unconfirmed(self, peek: Peek) -> Sequence[WaitRow]:
        """Commands that nobody sent, or confirmed, in time: soon their next attempt is to be scheduled (rule C1)."""
        if peek.unconfirmed_since is None or peek.unconfirmed_since > peek.now - UNCONFIRMED_SECONDS:
            return ()
        return await self._store.unpublished(UNCONFIRMED_SECONDS, self._batch)

    async def _without_outcome(self, found: Collection[Waiting]) -> list[Waiting]:
        """Of commands that are to be judged those that have left no outcome, whoever has it in hand (rule A11).

        A step that ended before its command was found so has put its outcome into the stream before (rule C5), where it
        stands until it is committed. So all that stand there are looked at; where they are many, not before those are
        committed that stood there when the command was found so at first: one of them is its own, most likely.
        """
        if not found:
            return []
        now = self._clock.monotonic()
        if buggify("timers.forget"):
            self._sights.clear()
        try:
            unread = await self._unread()
            if unread is None:
                sure = list(found)
            else:
                stood = {key: self._stood(key, now, unread.last) for key in found}
                asked = [key for key in found if unread.count <= FEW or unread.first > stood[key]]
                told = await self._sender.told_of(asked) if asked else ()
                sure = [key for key in asked if key not in told]
        except TransportUnavailable as loss:
            log.warning("cannot look for outcomes: %s", loss)
            return []
        for key in sure:
            self._sights.pop(key, None)
        return sure

    async def _unread(self) -> Unread | None:
        unread = await self._sender.unread()
        self.behind_seconds = unread.seconds if unread is not None and unread.count > FEW else 0.0
        return unread

    def _stood(self, key: Waiting, now: float, last: Place) -> Place:
        """The last outcome that stood in this stream when the command was first found to be judged."""
        sight = self._sights.get(key)
        if sight is None or sight.stood > last:
            sight = _Sight(now, now, last)
        self._sights[key] = replace(sight, last=now)
        return sight.stood

    async def _checked(self, rows: Sequence[WaitRow], at: float) -> dict[Waiting, Verdict]:
        """The check of commands that were sent: still queued, still running, or to be judged (rule L5).

        One that is queued comes again the later, the later it was looked at, which was due before the instant `at`:
        there are so many.
        """
        sent = [row for row in rows if row.entry_id is not None]  # the others are the sweep's
        if not sent:
            return {}
        try:
            states = await self._sender.inspect(sent)
        except TransportUnavailable as loss:
            log.warning("cannot look for %d commands: %s", len(sent), loss)
            return {}
        later: list[tuple[str, int, float]] = []
        left: list[Waiting] = []
        suspects: dict[Waiting, Verdict] = {}
        now = self._clock.monotonic()
        for row, state in zip(sent, states, strict=True):
            key = (row.saga_id, row.opened_by)
            if self._limits.judges(key):
                left.append(key)
                continue
            if state.place == "gone":
                suspects[key] = "lost"
                continue
            if state.place == "queued":
                seconds = max(state.timeout + 2 * self._lease_seconds, LATE_SHARE * (at - row.due_at))
                later.append((*key, min(seconds, QUEUED_SECONDS_MAX)))
            elif (until := self._moved_on.setdefault(key, now + state.timeout + self._lease_seconds)) <= now:
                suspects[key] = "timed_out"
                continue
            else:  # it may have begun just now; looking again before its time says nothing
                later.append((*key, until - now))
            self._sights.pop(key, None)  # somebody renews it again
        if later or left:
            await self._store.postpone([*later, *((*key, LIMIT_SECONDS) for key in left)])
            self._limits.left(left)
        return suspects

    def _again_seconds(self, key: Waiting) -> float:
        """When to look again for what is not judged: the longer it is known, or outcomes stand unread, the later."""
        known = self._clock.monotonic() - self._sights[key].first if key in self._sights else 0.0
        return max(min(known / 4, AGAIN_SECONDS_MAX), min(self.behind_seconds, BEHIND_SECONDS_MAX), AGAIN_SECONDS)

    def _forget(self, now: float) -> None:
        """What ended by itself is looked for no more."""
        if now < self._forget_at or len(self._sights) + len(self._moved_on) <= REMEMBERED_MAX:
            return
        self._forget_at = now + FORGET_EVERY_SECONDS
        self._sights = {key: seen for key, seen in self._sights.items() if seen.last > now - FORGET_SECONDS}
        self._moved_on = {key: until for key, until in self._moved_on.items() if until > now - FORGET_SECONDS}

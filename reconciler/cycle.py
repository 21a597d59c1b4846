"""The reconciler's cycle: look, put right, sleep until the next wait could be overdue (rules K1, K2).

A glance, one statement, says whether a wait can be overdue; only then, and every five minutes, is everything looked at.
"""

import logging
from collections.abc import Collection, Sequence
from math import inf
from typing import Any

from reconciler.checks import sagas_newer, waits_overdue, waits_unpublished
from reconciler.evidence import Evidence, Sight, StaleWait
from reconciler.findings import Finding
from sagas.inputs import Applies
from sagas.peek import Peek
from sagas.ports import Clock, Store, StoreUnavailable, TransportRefused, TransportUnavailable
from sagas.records import record
from sagas.state import Waiting
from sagas.unread import FEW, Place
from sagas.whereabouts import Whereabouts

log = logging.getLogger("amends.reconciler")

CHECKS = (waits_overdue.find, waits_unpublished.find, sagas_newer.find)
FOUND_MAX, BATCH = 5_000, 500
SLEEP_SECONDS_MAX = 15.0
SLEEP_SECONDS_MIN = 0.5
AUDIT_SECONDS = 300.0
PATIENCE_SECONDS, ASK_AGAIN_SECONDS = 1.0, 0.1
APPLIED_SECONDS = 8.0
"""Where orchestrators work, the first outcome is applied within so long: two leases, should one of them have died."""
UNMENDED_SECONDS = 2.5
SURE_SECONDS, PROVE_SECONDS, APART_SECONDS, PROVE_TRIES = 6.0, 1.0, 3.0, 3
"""While something can be written for so long, who has sent a command confirms it each second, and orchestrators end
what is due after one lease of grace; where repairs go in, one after the other, they can."""


@record
class Report:
    """What one look found, and how many of the findings were put right. `busy`: another reconciler is at work."""

    findings: tuple[Finding, ...] = ()
    repaired: int = 0
    busy: bool = False


class Reconciler:
    """One reconciler; of several only the one that holds the lock looks.

    `apply` is the engine, `commands` says what became of those that were sent.
    """

    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        apply: Applies,
        clock: Clock,
        commands: Whereabouts,
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._engine = apply
        self._clock = clock
        self._commands = commands
        self._audit_at = 0.0
        self._repaired_at = -inf
        self._stopping = False

    def stop(self) -> None:
        """End after the look that is under way."""
        self._stopping = True

    async def run(self) -> None:
        """Look for as long as the process lives; first the orchestrators, which start with it, get their time."""
        await self._pause(waits_overdue.GRACE_SECONDS)
        while not self._stopping:
            pause = SLEEP_SECONDS_MAX
            try:
                pause = await self.turn()
            except StoreUnavailable as loss:
                log.warning("waiting for the database: %s", loss)
            await self._pause(pause)

    async def turn(self) -> float:
        """Look if there may be something to find; seconds until there may be more.

        Raises:
            StoreUnavailable: the database is away.
        """
        peek = await self._store.peek()
        wait = _until_something_could_be_overdue(peek)
        least = SLEEP_SECONDS_MIN
        if wait <= 0 or self._clock.monotonic() >= self._audit_at:
            report = await self.run_once()
            self._audit_at = self._clock.monotonic() + AUDIT_SECONDS
            if report.findings and not report.repaired:  # they will be found again
                least = UNMENDED_SECONDS
        return min(max(wait, least), SLEEP_SECONDS_MAX)

    async def _pause(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while not self._stopping and self._clock.monotonic() < until:
            await self._clock.sleep(min(SLEEP_SECONDS_MIN, until - self._clock.monotonic()))

    async def run_once(self, *, report_only: bool = False) -> Report:
        """Look once, and put right what can be.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with self._evidence.look() as sight:
            if sight is None:
                return Report(busy=True)
            found = [finding for find in CHECKS for finding in await find(sight, FOUND_MAX)]
            if any(map(_is_young, found)) and await self._is_behind():
                found = [finding for finding in found if not _is_young(finding)]
            for finding in found:
                log.warning("%s: saga %s: %s", finding.check, finding.saga_id, finding.what)
            if report_only:
                return Report(tuple(found))
            found = await self._still(sight, found)
            return Report(tuple(found), await self._repair(found))

    async def _still(self, sight: Sight, found: list[Finding]) -> list[Finding]:
        """Of what is to be repaired what still is once the store could be written for a while (rules A11, C1)."""
        ready = any(finding.repair is not None for finding in found)
        if not ready or self._clock.monotonic() - self._repaired_at < APART_SECONDS:
            return found
        await self._prove()
        still = {finding.repair for find in CHECKS for finding in await find(sight, FOUND_MAX)}
        return [finding for finding in found if finding.repair is None or finding.repair in still]

    async def _prove(self) -> None:
        """Write for a while; anew where a write hung, which orchestrators take for a gap, unless it does each time."""
        for _ in range(PROVE_TRIES):
            until = self._clock.monotonic() + SURE_SECONDS
            while not self._stopping and (began := self._clock.monotonic()) < until:
                await self._store.prove_writable()
                if self._clock.monotonic() - began > APART_SECONDS:
                    break
                await self._pause(PROVE_SECONDS)
            else:
                return

    async def _is_behind(self) -> bool:
        """Whether many outcomes wait and somebody applies them: then commands are looked at less often (0014)."""
        try:
            until = self._clock.monotonic() + APPLIED_SECONDS
            before = unread = await self._commands.unread()
            if before is None or before.count <= FEW:
                return False
            while unread is not None and unread.first == before.first and self._clock.monotonic() < until:
                if self._stopping:
                    return True
                await self._clock.sleep(ASK_AGAIN_SECONDS)
                unread = await self._commands.unread()
        except (TransportUnavailable, TransportRefused):
            return False
        return unread is None or unread.first > before.first

    async def _repair(self, found: Sequence[Finding]) -> int:
        ready = [(finding.repair, finding.judges) for finding in found if finding.repair is not None]
        repaired = 0
        lost: Collection[Waiting] | None = ()
        for first in range(0, len(ready), BATCH):
            if self._stopping:
                break
            batch = ready[first : first + BATCH]
            if lost is not None:
                lost = await self._lost([wait for _, wait in batch if wait is not None])
            repairs = [repair for repair, wait in batch if wait is None or (lost and _key(wait) in lost)]
            began = self._clock.monotonic()
            answers: Sequence[Any] = await self._engine.apply(repairs) if repairs else ()
            accepted = sum(answer.code == "accepted" for answer in answers)
            if accepted:
                self._repaired_at = began
            repaired += accepted
        return repaired

    async def _lost(self, judged: Sequence[StaleWait]) -> Collection[Waiting] | None:
        """Which of these commands nobody has, and have left no outcome: others go on, or have ended well (rule A11).

        All outcomes that stand there are looked at; where they are many, as after a long stop, once those that stood
        there at first are committed. Where that takes more than a second, none is judged in this look (None).
        """
        until = self._clock.monotonic() + PATIENCE_SECONDS
        stood: Place | None = None
        try:
            sent = [wait for wait in judged if wait.entry_id is not None]
            places = await self._commands.inspect(sent) if sent else []
            there = {_key(wait) for wait, state in zip(sent, places, strict=True) if state.place != "gone"}
            gone = {_key(wait) for wait in judged} - there
            while gone and (unread := await self._commands.unread()) is not None:
                if unread.count <= FEW or (stood is not None and unread.first > stood):
                    break
                stood = stood or unread.last
                if self._clock.monotonic() >= until:
                    return None
                await self._clock.sleep(ASK_AGAIN_SECONDS)
            return gone - await self._commands.told_of(gone) if gone else gone
        except (TransportUnavailable, TransportRefused) as loss:
            log.warning("commands are not judged while outcomes may lie unread: %s", loss)
            return None


def _is_young(finding: Finding) -> bool:
    """Whether it is about a command that may just be looked at late."""
    return finding.judges is not None and finding.judges.age <= waits_overdue.COMMAND_SECONDS


def _key(wait: StaleWait) -> Waiting:
    return wait.saga_id, wait.opened_by


def _until_something_could_be_overdue(peek: Peek) -> float:
    """Seconds; what the checks of waits find is among what the glance tells of."""
    dates = [] if peek.due_at is None else [peek.due_at + waits_overdue.GRACE_SECONDS]
    if peek.unconfirmed_since is not None:
        dates.append(peek.unconfirmed_since + waits_unpublished.SWEEP_AND_GRACE_SECONDS)
    return min(dates, default=inf) - peek.now

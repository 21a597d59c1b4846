"""The reconciler's cycle: look, put right, sleep until the next wait could be overdue (rules K1, K2).

A glance, one statement, says whether a wait can be overdue; only then, and every five minutes, is everything looked at.
"""

import logging
from collections.abc import Collection, Sequence
from math import inf
from typing import Any

from reconciler.checks import sagas_newer, waits_overdue, waits_unpublished
from reconciler.evidence import Evidence
from reconciler.findings import Finding
from sagas.inputs import Applies
from sagas.peek import Peek
from sagas.ports import Clock, Store, StoreUnavailable, TransportRefused, TransportUnavailable
from sagas.records import record
from sagas.state import Waiting
from sagas.unread import FEW, Outcomes, Place

log = logging.getLogger("amends.reconciler")

CHECKS = (waits_overdue.find, waits_unpublished.find, sagas_newer.find)
BATCH = 500
SLEEP_SECONDS_MAX = 15.0
SLEEP_SECONDS_MIN = 0.5
AUDIT_SECONDS = 300.0
PATIENCE_SECONDS, ASK_AGAIN_SECONDS = 1.0, 0.1


@record
class Report:
    """What one look found, and how many of the findings were put right. `busy`: another reconciler is at work."""

    findings: tuple[Finding, ...] = ()
    repaired: int = 0
    busy: bool = False


class Reconciler:
    """One reconciler; of several only the one that holds the lock looks.

    `apply` is the engine, `outcomes` are those that nobody has acknowledged.
    """

    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        apply: Applies,
        clock: Clock,
        outcomes: Outcomes,
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._engine = apply
        self._clock = clock
        self._outcomes = outcomes
        self._audit_at = 0.0
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
        if wait <= 0 or self._clock.monotonic() >= self._audit_at:
            await self.run_once()
            self._audit_at = self._clock.monotonic() + AUDIT_SECONDS
        return min(max(wait, SLEEP_SECONDS_MIN), SLEEP_SECONDS_MAX)

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
            found = [finding for find in CHECKS for finding in await find(sight, BATCH)]
            for finding in found:
                log.warning("%s: saga %s: %s", finding.check, finding.saga_id, finding.what)
            repaired = 0 if report_only else await self._repair(found)
            return Report(tuple(found), repaired)

    async def _repair(self, found: Sequence[Finding]) -> int:
        ready = [(finding.repair, finding.judges) for finding in found if finding.repair is not None]
        judged = {(repair.saga_id, repair.opened_by) for repair, judges in ready if judges}
        unread = await self._unread(judged) if judged else judged
        repairs = [repair for repair, _ in ready if (repair.saga_id, repair.opened_by) not in unread]
        if not repairs:
            return 0
        answers: Sequence[Any] = await self._engine.apply(repairs)
        return sum(answer.code == "accepted" for answer in answers)

    async def _unread(self, judged: Collection[Waiting]) -> Collection[Waiting]:
        """Of which of these commands an outcome may lie unread: they may have ended well (rule A11).

        All that stand there are looked at; where they are many, as after a long stop, once those that stood there at
        first are committed. Where that takes more than a second, they are judged at another time.
        """
        until = self._clock.monotonic() + PATIENCE_SECONDS
        stood: Place | None = None
        try:
            while (unread := await self._outcomes.unread()) is not None:
                if unread.count <= FEW or (stood is not None and unread.first > stood):
                    break
                stood = stood or unread.last
                if self._clock.monotonic() >= until:
                    return judged
                await self._clock.sleep(ASK_AGAIN_SECONDS)
            return await self._outcomes.told_of(judged)
        except (TransportUnavailable, TransportRefused) as loss:
            log.warning("commands are not judged while outcomes may lie unread: %s", loss)
            return judged


def _until_something_could_be_overdue(peek: Peek) -> float:
    """Seconds; what the checks of waits find is among what the glance tells of."""
    dates = [] if peek.due_at is None else [peek.due_at + waits_overdue.GRACE_SECONDS]
    if peek.unconfirmed_since is not None:
        dates.append(peek.unconfirmed_since + waits_unpublished.SWEEP_AND_GRACE_SECONDS)
    return min(dates, default=inf) - peek.now

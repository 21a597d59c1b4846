"""The reconciler's cycle: look, put right, sleep until the next wait could be overdue (rules K1, K2)."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from reconciler.checks import sagas_newer, waits_overdue, waits_unpublished
from reconciler.evidence import Evidence
from reconciler.findings import Finding
from sagas.inputs import Applies
from sagas.ports import Clock, Store, StoreUnavailable, TransportRefused, TransportUnavailable
from sagas.records import record

log = logging.getLogger("amends.reconciler")

CHECKS = (waits_overdue.find, waits_unpublished.find, sagas_newer.find)
BATCH = 500
SLEEP_SECONDS_MAX = 15.0
SLEEP_SECONDS_MIN = 0.5


@record
class Report:
    """What one look found, and how many of the findings were put right. `busy`: another reconciler is at work."""

    findings: tuple[Finding, ...] = ()
    repaired: int = 0
    busy: bool = False


class Reconciler:
    """One reconciler; of several only the one that holds the lock looks.

    `apply` is the engine, `oldest_outcome` tells how old the first outcome is that nobody has acknowledged.
    """

    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        apply: Applies,
        clock: Clock,
        oldest_outcome: Callable[[], Awaitable[float | None]],
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._engine = apply
        self._clock = clock
        self._oldest_outcome = oldest_outcome
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
                await self.run_once()
                pause = await self._until_something_could_be_overdue()
            except StoreUnavailable as loss:
                log.warning("waiting for the database: %s", loss)
            await self._pause(pause)

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
            looked_at = self._clock.monotonic()
            found = [finding for find in CHECKS for finding in await find(sight, BATCH)]
            for finding in found:
                log.warning("%s: saga %s: %s", finding.check, finding.saga_id, finding.what)
            repaired = 0 if report_only else await self._repair(found, looked_at)
            return Report(tuple(found), repaired)

    async def _repair(self, found: Sequence[Finding], looked_at: float) -> int:
        ready = [finding for finding in found if finding.repair is not None]
        if any(finding.judges for finding in ready) and not await self._all_committed_since(looked_at):
            ready = [finding for finding in ready if not finding.judges]
        repairs = [finding.repair for finding in ready if finding.repair is not None]
        if not repairs:
            return 0
        answers: Sequence[Any] = await self._engine.apply(repairs)
        return sum(answer.code == "accepted" for answer in answers)

    async def _all_committed_since(self, looked_at: float) -> bool:
        """Whether every outcome that came before is committed: else a command may have ended well (rule A11)."""
        try:
            oldest = await self._oldest_outcome()
        except (TransportUnavailable, TransportRefused) as loss:
            log.warning("commands are not judged while outcomes may lie unread: %s", loss)
            return False
        return oldest is None or oldest < self._clock.monotonic() - looked_at

    async def _until_something_could_be_overdue(self) -> float:
        peek = await self._store.peek()
        if peek.due_at is None:
            return SLEEP_SECONDS_MAX
        wait = peek.due_at + waits_overdue.GRACE_SECONDS - peek.now
        return min(max(wait, SLEEP_SECONDS_MIN), SLEEP_SECONDS_MAX)

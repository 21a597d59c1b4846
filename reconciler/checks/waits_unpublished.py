"""Commands that nobody confirmed, though the sweep should have seen them: no orchestrator does its work (rule C1)."""

from reconciler.evidence import Sight, StaleWait
from reconciler.findings import Finding
from sagas.inputs import Repair

CHECK = "wait never published"
SWEEP_AND_GRACE_SECONDS = 10.0


async def find(sight: Sight, limit: int) -> list[Finding]:
    """The commands, oldest first. None is sent again under its attempt: the repair schedules the next one."""
    return [_finding(wait) for wait in await sight.never_published(SWEEP_AND_GRACE_SECONDS, limit)]


def _finding(wait: StaleWait) -> Finding:
    return Finding(
        check=CHECK,
        saga_id=wait.saga_id,
        what=f"{wait.kind} {wait.where} of {wait.definition} is {wait.age:.1f} s old and was never confirmed as sent",
        since=wait.since,
        severity="critical",
        proposal="start an orchestrator; schedule the next attempt meanwhile",
        repair=Repair(wait.saga_id, wait.opened_by, CHECK),
        judges=wait,
        evidence={"openedBy": wait.opened_by, "attempt": wait.attempt},
    )

"""Waits whose time passed and that nobody ended: no orchestrator does its work (rule K1)."""

from reconciler.evidence import Sight, StaleWait
from reconciler.findings import Finding
from sagas.inputs import Repair
from sagas.state import COMMAND_KINDS

CHECK = "wait overdue"
GRACE_SECONDS = 5.0
COMMAND_SECONDS = 60.0


async def find(sight: Sight, limit: int) -> list[Finding]:
    """The overdue waits, oldest first: no more of commands than `limit`, and no more of others.

    A command is repaired only when it is overdue by a minute: an orchestrator, which sees where its entry is, judges
    better.
    """
    return [_finding(wait) for wait in await sight.overdue(GRACE_SECONDS, limit)]


def _finding(wait: StaleWait) -> Finding:
    command = wait if wait.kind in COMMAND_KINDS else None
    repairable = command is None or wait.age > COMMAND_SECONDS
    return Finding(
        check=CHECK,
        saga_id=wait.saga_id,
        what=" ".join(f"{wait.kind} {wait.where} of {wait.definition} is overdue by {wait.age:.1f} s".split()),
        since=wait.since,
        severity="critical",
        proposal="start an orchestrator; end the wait meanwhile",
        repair=Repair(wait.saga_id, wait.opened_by, CHECK) if repairable else None,
        judges=command,
        evidence={"openedBy": wait.opened_by, "kind": wait.kind, "attempt": wait.attempt},
    )

"""Sagas that a newer program wrote to, and that no orchestrator of this one decides (sagas/versions.py)."""

from reconciler.evidence import NewerSaga, Sight
from reconciler.findings import Finding
from sagas.versions import what_it_needs

CHECK = "newer event"


async def find(sight: Sight, limit: int) -> list[Finding]:
    """The open ones. There is nothing to repair: a newer program goes on with them."""
    return [_finding(saga) for saga in await sight.newer(limit)]


def _finding(saga: NewerSaga) -> Finding:
    needed = f"amends {saga.release} or newer" if saga.release else "the amends that wrote to it"
    return Finding(
        check=CHECK,
        saga_id=saga.saga_id,
        what=f"{saga.definition}: {what_it_needs(saga.release)}",
        since=saga.since,
        severity="critical",
        proposal=f"run {needed}: what came for the saga meanwhile is kept",
    )

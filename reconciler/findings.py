"""What the reconciler found: a divergence, since when, by which evidence, and what would put it right."""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from reconciler.evidence import StaleWait
from sagas.events import Json
from sagas.inputs import Repair
from sagas.records import record

Severity = Literal["info", "warning", "critical"]


@record
class Finding:
    """One divergence. `since` is in seconds since 1970; `repair` is None where only people can put it right now.

    `judges`: the command of which the repair says what became; no outcome of it may lie unread (rule A11).
    """

    check: str
    saga_id: str
    what: str
    since: float
    severity: Severity
    proposal: str
    repair: Repair | None = None
    judges: StaleWait | None = None
    evidence: Mapping[str, Json] = field(default_factory=dict[str, Json])

    def document(self) -> dict[str, Json]:
        """For machines."""
        return {
            "check": self.check, "sagaId": self.saga_id, "what": self.what, "since": self.since,
            "severity": self.severity, "proposal": self.proposal, "repairable": self.repair is not None,
            "evidence": dict(self.evidence),
        }  # fmt: skip

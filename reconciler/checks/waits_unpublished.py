"""Commands that nobody confirmed, though the sweep should have seen them: no orchestrator does its work (rule C1)."""

from typing import Any

from reconciler.findings import Finding
from sagas.inputs import Repair

CHECK = "wait never published"
SWEEP_AND_GRACE_SECONDS = 10.0
FIND = """
SELECT saga_id::text, definition, opened_by, kind, step, item, attempt, extract(epoch FROM since)::float8 AS since,
    extract(epoch FROM clock_timestamp() - since)::float8 AS age
FROM amends.waits JOIN amends.sagas USING (saga_id)
WHERE published_at IS NULL AND NOT unsent AND NOT held AND queue IS NOT NULL AND claimed_by IS NULL
    AND since < clock_timestamp() - make_interval(secs => $1)
ORDER BY since LIMIT $2
"""


async def find(connection: Any, limit: int) -> list[Finding]:
    """The commands, oldest first. None is sent again under its attempt: the repair schedules the next one."""
    return [_finding(row) for row in await connection.fetch(FIND, SWEEP_AND_GRACE_SECONDS, limit)]


def _finding(row: Any) -> Finding:
    where = row["step"] if row["item"] is None else f"{row['step']}[{row['item']}]"
    return Finding(
        check=CHECK,
        saga_id=row["saga_id"],
        what=f"{row['kind']} {where} of {row['definition']} is {row['age']:.1f} s old and was never confirmed as sent",
        since=row["since"],
        severity="critical",
        proposal="start an orchestrator; schedule the next attempt meanwhile",
        repair=Repair(row["saga_id"], row["opened_by"], CHECK),
        judges=True,
        evidence={"openedBy": row["opened_by"], "attempt": row["attempt"]},
    )

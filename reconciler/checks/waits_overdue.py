"""Waits whose time passed and that nobody ended: no orchestrator does its work (rule K1)."""

from typing import Any

from reconciler.findings import Finding
from sagas.inputs import Repair
from sagas.state import COMMAND_KINDS

CHECK = "wait overdue"
GRACE_SECONDS = 5.0
COMMAND_SECONDS = 60.0
FIND = """
SELECT saga_id::text, definition, opened_by, kind, step, item, attempt, extract(epoch FROM due_at)::float8 AS due_at,
    extract(epoch FROM clock_timestamp() - due_at)::float8 AS overdue
FROM amends.waits JOIN amends.sagas USING (saga_id)
WHERE due_at < clock_timestamp() - make_interval(secs => $1) AND NOT unsent AND NOT held
    AND kind NOT IN ('notify', 'operator') AND (entry_id IS NOT NULL OR queue IS NULL)
ORDER BY due_at LIMIT $2
"""


async def find(connection: Any, limit: int) -> list[Finding]:
    """The overdue waits, oldest first.

    A command is repaired only when it is overdue by a minute: an orchestrator, which sees where its entry is, judges
    better.
    """
    return [_finding(row) for row in await connection.fetch(FIND, GRACE_SECONDS, limit)]


def _finding(row: Any) -> Finding:
    judges = row["kind"] in COMMAND_KINDS
    repairable = not judges or row["overdue"] > COMMAND_SECONDS
    where = row["step"] if row["item"] is None else f"{row['step']}[{row['item']}]"
    return Finding(
        check=CHECK,
        saga_id=row["saga_id"],
        what=f"{row['kind']} {where or ''} of {row['definition']} is overdue by {row['overdue']:.1f} s".replace(
            "  ", " "
        ),
        since=row["due_at"],
        severity="critical",
        proposal="start an orchestrator; end the wait meanwhile",
        repair=Repair(row["saga_id"], row["opened_by"], CHECK) if repairable else None,
        judges=judges,
        evidence={"openedBy": row["opened_by"], "kind": row["kind"], "attempt": row["attempt"]},
    )

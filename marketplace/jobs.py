"""`marketplace_job_executions`: one row for each job, filled from the sagas' events (req. E5, X6, X7, X8)."""

import json
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from amends import FeedEvent, Projection

DEFINITIONS = ("analysis", "approval")
RESULTS = {"tasks", "plan"}
START = """
INSERT INTO marketplace_job_executions (id, plan_id, job_id, status, created_at)
SELECT $1::uuid, $2::uuid, $1, 'pending', to_timestamp($3)
WHERE EXISTS (SELECT FROM marketplace_plans WHERE id = $2::uuid)
ON CONFLICT DO NOTHING
"""
CHANGE = """
UPDATE marketplace_job_executions
SET status = coalesce($2, status), attempt_number = greatest(attempt_number, $3),
    error_message = coalesce($4, error_message), result = coalesce($5::text::jsonb, result)
WHERE job_id = $1
"""
END = """
UPDATE marketplace_job_executions
SET status = $2::text, completed_at = to_timestamp($3),
    error_message = CASE WHEN $2::text = 'completed' THEN NULL ELSE error_message END
WHERE job_id = $1
"""
ENDINGS = {"SagaCompleted": "completed", "SagaCompensated": "failed", "SagaFailed": "failed"}
ACTIVE = frozenset({"StepStarted", "StepSucceeded", "FallbackUsed", "SagaTurnedBack", "SagaReopened"})
TRIED = frozenset({"StepFailed", "StepOutcomeUnknown", "StepRefused"})


async def project(connection: Any, events: Sequence[FeedEvent]) -> None:
    """Apply events to the table, in their order."""
    for event in events:
        if event.type == "SagaStarted":
            await _start(connection, event)
        elif event.type in ENDINGS:
            await connection.execute(END, event.saga_id, ENDINGS[event.type], event.at)
        elif event.type in ACTIVE or event.type in TRIED or event.type == "WaitOpened":
            await _change(connection, event)


async def _start(connection: Any, event: FeedEvent) -> None:
    given: Any = event.data.get("input") or {}
    if event.data.get("definition") not in DEFINITIONS:
        return
    try:
        plan_id = UUID(str(given.get("plan_id")))
    except ValueError:
        return  # no plan of ours
    await connection.execute(START, event.saga_id, plan_id, event.at)


async def _change(connection: Any, event: FeedEvent) -> None:
    """A job is pending until its first step begins and between retries, else active."""
    data = event.data
    again = event.type in TRIED and data.get("retry_in", data.get("again_in")) is not None
    desk = event.type == "WaitOpened" and data.get("kind") == "operator"
    status = "pending" if again else "active" if desk or event.type != "WaitOpened" else None
    error: dict[str, Any] = data.get("error") or {}
    result = data.get("result") if event.type == "StepSucceeded" and data.get("step") in RESULTS else None
    shown = None if result is None else json.dumps(_shown(result), ensure_ascii=False)
    await connection.execute(CHANGE, event.saga_id, status, data.get("attempt", 0) or 1, error.get("message"), shown)


def _shown(result: Any) -> Any:
    """A job's result in the words of the requirements (req. F18)."""
    if not isinstance(result, list):
        return result
    tasks = cast("list[dict[str, Any]]", result)
    return {"success": True, "taskIds": [task["id"] for task in tasks]}


executions = Projection("marketplace_job_executions", 1, "public.marketplace_job_executions", project)

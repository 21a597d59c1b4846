"""`marketplace_job_executions`: one row for each job, filled from the sagas' events (req. E5, X6, X7, X8)."""

import json
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from amends import FeedEvent, Projection
from marketplace.job_states import Job

DEFINITIONS = ("analysis", "approval")
RESULTS = {"tasks", "plan"}
START = """
INSERT INTO marketplace_job_executions (id, plan_id, job_id, status, created_at)
SELECT $1::uuid, $2::uuid, $1, 'pending', to_timestamp($3)
WHERE EXISTS (SELECT FROM marketplace_plans WHERE id = $2::uuid)
ON CONFLICT DO NOTHING
"""
LOAD = "SELECT folded::text FROM marketplace_job_executions WHERE job_id = $1"
SAVE = """
UPDATE marketplace_job_executions
SET status = $2::text, attempt_number = $3, error_message = $4, completed_at = to_timestamp($5),
    folded = $6::text::jsonb, result = CASE WHEN $2::text <> 'failed' THEN coalesce($7::text::jsonb, result) END
WHERE job_id = $1
"""


async def project(connection: Any, events: Sequence[FeedEvent]) -> None:
    """Apply events to the table, in their order."""
    jobs: dict[str, Job | None] = {}
    results: dict[str, Any] = {}
    for event in events:
        if event.type == "SagaStarted":
            await _start(connection, event)
        if event.saga_id not in jobs:
            folded = await connection.fetchval(LOAD, event.saga_id)
            jobs[event.saga_id] = None if folded is None else Job(**json.loads(folded))
        job = jobs[event.saga_id]
        if job is None:
            continue
        job.take(event.type, event.data, event.at)
        if event.type == "StepSucceeded" and event.data.get("step") in RESULTS:
            results[event.saga_id] = await _result(connection, event)
    for job_id, job in jobs.items():
        if job is not None:
            result = results.get(job_id)
            shown = None if result is None else json.dumps(_shown(result), ensure_ascii=False)
            memory = json.dumps(vars(job))
            await connection.execute(SAVE, job_id, job.status, job.attempts, job.error, job.ended_at, memory, shown)


async def _start(connection: Any, event: FeedEvent) -> None:
    given: Any = event.data.get("input") or {}
    if event.data.get("definition") not in DEFINITIONS:
        return
    try:
        plan_id = UUID(str(given.get("plan_id")))
    except ValueError:
        return  # no plan of ours
    await connection.execute(START, event.saga_id, plan_id, event.at)


async def _result(connection: Any, event: FeedEvent) -> Any:
    """What a step gave; a large result is kept apart, under its hash."""
    if (kept := event.data.get("payload")) is None:
        return event.data.get("result")
    return json.loads(await connection.fetchval("SELECT body FROM amends.payloads WHERE hash = $1", kept))


def _shown(result: Any) -> Any:
    """A job's result in the words of the requirements (req. F18)."""
    if not isinstance(result, list):
        return result
    tasks = cast("list[dict[str, Any]]", result)
    return {"success": True, "taskIds": [task["id"] for task in tasks]}


async def forget(connection: Any, saga_ids: Sequence[str]) -> None:
    """Take the rows of jobs away whose sagas go into an archive."""
    await connection.execute("DELETE FROM marketplace_job_executions WHERE job_id = ANY($1::text[])", list(saga_ids))


executions = Projection("marketplace_job_executions", 2, "public.marketplace_job_executions", project, forget)

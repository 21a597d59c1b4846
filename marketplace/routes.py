"""The application's endpoints: upload a document, see and approve its plan, follow the job (req. C1 to C6)."""

import json
from typing import Any
from uuid import UUID

from aiohttp import web

from amends import (
    Backend,
    KeyConflict,
    Problem,
    RequestIds,
    Route,
    answer_once,
    field_problem,
    read_json,
)
from marketplace import schemas
from marketplace.extraction import extract
from marketplace.forms import BODY_BYTES_MAX, read_form
from marketplace.plans import NAME_CHARACTERS_MAX
from marketplace.sagas.analysis import GIVE_UP, analysis
from marketplace.sagas.approval import approval, create_tasks

APPROVED = "Plan approved. Phase 1 creation queued."
ENDED_BADLY = ("compensated", "failed")
RETRY_AFTER_SECONDS = "2"
REMEDIES = {
    "analysing": "ask again when it is pending",
    "failed": "upload the document again, or another one",
    "cancelled": "upload the document again",
}


async def upload(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/marketplace/analysis/upload`: upload a document, whose analysis begins; 202."""
    filename, content, channels = await read_form(request)

    async def work(ids: RequestIds) -> web.Response:
        return await _begin(request, backend, ids, (filename, content, channels))

    return await answer_once(request, backend, [filename, content, channels], work)


async def show(request: web.Request, backend: Backend) -> web.Response:
    """`GET /api/marketplace/analysis/{id}`: the plan with its tasks."""
    plan_id = _plan_id(request)
    row = await _plan(request, backend, plan_id)
    tasks = await backend.database.fetch(
        "SELECT id::text, phase, position, title, status, assignee, generated FROM tasks WHERE plan_id = $1 "
        "ORDER BY phase, position",
        plan_id,
    )
    document = {
        "planId": row["id"],
        "status": row["status"],
        "channels": row["channels"],
        "plan": json.loads(row["plan_data"]),
        "error": row["error"],
        "approvedBy": row["approved_by"],
        "createdAt": row["created_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "tasks": [dict(task.items()) for task in tasks],
    }
    return web.json_response(document)


async def act(request: web.Request, backend: Backend) -> web.Response:
    """`PATCH`, `POST` `/api/marketplace/analysis/{id}` with `{"action": "approve"}`: approve a plan; 202 (req. X15)."""
    plan_id = _plan_id(request)
    body = await read_json(request)
    if body.get("action") != "approve":
        raise field_problem(422, "Invalid input", "action", f"is {str(body.get('action'))[:60]!r}", "send approve")
    by = body.get("approvedBy", request["caller"])
    if not isinstance(by, str) or not 0 < len(by) <= NAME_CHARACTERS_MAX:
        raise field_problem(422, "Invalid input", "approvedBy", "is no text of 1 to 200 characters", "say who approves")

    async def work(ids: RequestIds) -> web.Response:
        if (known := await _approval_of(request, backend, plan_id)) is not None:
            return _approved(known)  # approving twice is one saga, whoever asks and whatever has become of it
        started = {"plan_id": str(plan_id), "approved_by": by}
        try:
            handle: Any = await backend.start(
                approval, started, key=str(plan_id), saga_id=ids.new("saga"), actor=request["caller"]
            )
        except KeyConflict as twin:  # somebody else approved it in this moment
            return _approved(twin.saga_id)
        return _approved(handle.id)

    return await answer_once(request, backend, [body], work)


async def job(request: web.Request, backend: Backend) -> web.Response:
    """`GET /api/marketplace/jobs/{jobId}`: a job and how far it is."""
    try:
        job_id = str(UUID(request.match_info["jobId"]))
    except ValueError:
        raise _unknown_job(request) from None
    found = await backend.job(job_id)
    if found is None:
        raise _unknown_job(request)
    given: Any = found.pop("input")
    if found["status"] == "completed" and found["result"] is None:
        found["result"] = await _created(backend, job_id)
    found["planId"] = given.get("plan_id") if isinstance(given, dict) else None  # pyright: ignore[reportUnknownMemberType]
    return web.json_response(found)


ROUTES = (
    Route(
        "POST", "/api/marketplace/analysis/upload", upload, "producer", BODY_BYTES_MAX,
        body=schemas.FORM, body_type="multipart/form-data", answers={202: schemas.UPLOADED},
    ),
    Route("GET", "/api/marketplace/analysis/{id}", show, "viewer", answers={200: schemas.PLAN}),
    Route(
        "PATCH", "/api/marketplace/analysis/{id}", act, "producer",
        body=schemas.ACTION, answers={202: schemas.APPROVED},
    ),
    Route(
        "POST", "/api/marketplace/analysis/{id}", act, "producer",
        body=schemas.ACTION, answers={202: schemas.APPROVED},
    ),
    Route("GET", "/api/marketplace/jobs/{jobId}", job, "viewer", answers={200: schemas.JOB}),
)  # fmt: skip


async def _begin(
    request: web.Request, backend: Backend, ids: RequestIds, form: tuple[str, bytes, list[str]]
) -> web.Response:
    """Document, plan and start of the analysis in one commit; a repeat of the request meets the same rows."""
    filename, content, channels = form
    document = await extract(filename, content)
    plan_id, document_id, saga_id = ids.new("plan"), ids.new("document"), ids.new("saga")
    async with backend.transaction() as connection:
        await connection.execute(
            "INSERT INTO marketplace_documents (id, filename, kind, text) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT DO NOTHING",
            UUID(document_id), filename[:NAME_CHARACTERS_MAX], document.kind, document.text,
        )  # fmt: skip
        handle: Any = await backend.start(
            analysis,
            {"plan_id": plan_id, "document_id": document_id, "channels": channels},
            key=plan_id,
            connection=connection,
            saga_id=saga_id,
            actor=request["caller"],
        )
        await connection.execute(
            "INSERT INTO marketplace_plans (id, document_id, channels, status, analysis_id) "
            "VALUES ($1, $2, $3, 'analysing', $4::text::uuid) ON CONFLICT DO NOTHING",
            UUID(plan_id), UUID(document_id), channels, handle.id,
        )  # fmt: skip
    body = {"planId": plan_id, "sagaId": handle.id, "jobId": handle.id, "status": "analysing"}
    return web.json_response(body, status=202, headers={"Location": f"/api/marketplace/analysis/{plan_id}"})


async def _plan(request: web.Request, backend: Backend, plan_id: UUID) -> Any:
    """The plan's row. If its analysis ended before its first step could say so on the plan, it is said now."""
    query = (
        "SELECT id::text, status, channels, plan_data::text, error, approved_by, created_at, "
        "analysis_id::text, approval_id::text FROM marketplace_plans WHERE id = $1"
    )
    row = await backend.database.fetchrow(query, plan_id)
    if row is None:
        raise _unknown_plan(request)
    if row["status"] == "analysing" and row["analysis_id"] is not None:
        saga = (await backend.store.heads([row["analysis_id"]])).get(row["analysis_id"])
        if saga is not None and saga.status in ENDED_BADLY:
            await backend.database.execute(GIVE_UP, plan_id, row["analysis_id"])
            return await backend.database.fetchrow(query, plan_id)
    return row


async def _approval_of(request: web.Request, backend: Backend, plan_id: UUID) -> str | None:
    """The saga that approves or has approved the plan; None where one may be started.

    Raises:
        Problem: 404 there is no such plan, 409 it does not await approval.
    """
    name = (approval.name, str(plan_id))
    if (known := (await backend.store.by_key([name])).get(name)) is not None:
        return known.saga_id
    row = await _plan(request, backend, plan_id)
    status = row["status"]
    if status in REMEDIES:
        why = f"the plan is {status}" + (f": {row['error']}" if row["error"] else "")
        problem = field_problem(409, "Plan cannot be approved", "id", why, REMEDIES[status])
        if status == "analysing":
            problem.headers["Retry-After"] = RETRY_AFTER_SECONDS
        raise problem
    approved_by_saga: str | None = row["approval_id"]
    return approved_by_saga


async def _created(backend: Backend, job_id: str) -> dict[str, Any] | None:
    """What a completed approval made (req. F18); None for another saga."""
    view: Any = await backend.view(job_id)
    if view is None or view["definition"] != approval.name:
        return None
    tasks = next(step["result"] for step in view["steps"] if step["step"] == create_tasks.name)
    return {"success": True, "taskIds": [task["id"] for task in tasks]}


def _approved(saga_id: str) -> web.Response:
    location = f"/api/marketplace/jobs/{saga_id}"
    body = {"jobId": saga_id, "sagaId": saga_id, "status": "approved", "message": APPROVED}
    return web.json_response(body, status=202, headers={"Location": location})


def _plan_id(request: web.Request) -> UUID:
    try:
        return UUID(request.match_info["id"])
    except ValueError:
        raise _unknown_plan(request) from None


def _unknown_plan(request: web.Request) -> Problem:
    text = f"{request.match_info['id'][:60]!r}: there is no such plan"
    return field_problem(404, "Not found", "id", text, "use a planId that an upload answered")


def _unknown_job(request: web.Request) -> Problem:
    text = f"{request.match_info['jobId'][:60]!r}: there is no such job"
    return field_problem(404, "Not found", "jobId", text, "use a jobId that an approval answered")

"""The application's endpoints: upload a document, see and approve its plan, follow the job (req. C1 to C6)."""

import json
from typing import Any
from uuid import UUID, uuid4

from aiohttp import BodyPartReader, web

from amends import Backend, KeyConflict, Problem, Route, field_problem, read_json
from marketplace.extraction import BYTES_MAX, extract, too_large
from marketplace.sagas.analysis import analysis
from marketplace.sagas.approval import approval

CHANNELS_MAX = 20
CHANNEL_CHARACTERS_MAX = 60
NAME_CHARACTERS_MAX = 200
BODY_BYTES_MAX = BYTES_MAX + 1024 * 1024
APPROVED = "Plan approved. Phase 1 creation queued."


async def upload(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/marketplace/analysis/upload`: document, plan and start of the analysis in one commit; 202."""
    filename, content, channels = await _read_form(request)
    document = await extract(filename, content)
    plan_id, document_id = uuid4(), uuid4()
    async with backend.transaction() as connection:
        await connection.execute(
            "INSERT INTO marketplace_documents (id, filename, kind, text) VALUES ($1, $2, $3, $4)",
            document_id, filename, document.kind, document.text,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO marketplace_plans (id, document_id, channels, status) VALUES ($1, $2, $3, 'analysing')",
            plan_id, document_id, channels,
        )  # fmt: skip
        handle: Any = await backend.start(
            analysis,
            {"plan_id": str(plan_id), "document_id": str(document_id), "channels": channels},
            key=str(plan_id),
            connection=connection,
            actor="api",
        )
    body = {"planId": str(plan_id), "sagaId": handle.id, "jobId": handle.id, "status": "analysing"}
    return web.json_response(body, status=202, headers={"Location": f"/api/marketplace/analysis/{plan_id}"})


async def show(request: web.Request, backend: Backend) -> web.Response:
    """`GET /api/marketplace/analysis/{id}`: the plan with its tasks."""
    plan_id = _plan_id(request)
    row = await backend.database.fetchrow(
        "SELECT id::text, status, channels, plan_data::text, error, approved_by, created_at FROM marketplace_plans "
        "WHERE id = $1",
        plan_id,
    )
    if row is None:
        raise _unknown_plan(request)
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
    """`PATCH` (or `POST`) `/api/marketplace/analysis/{id}` with `{"action": "approve"}`: 202 (req. X15)."""
    plan_id = _plan_id(request)
    body = await read_json(request)
    if body.get("action") != "approve":
        raise field_problem(422, "Invalid input", "action", f"is {str(body.get('action'))[:60]!r}", "send approve")
    by = body.get("approvedBy", "api")
    if not isinstance(by, str) or not 0 < len(by) <= NAME_CHARACTERS_MAX:
        raise field_problem(422, "Invalid input", "approvedBy", "is no text of 1 to 200 characters", "say who approves")
    known = (await backend.store.by_key([(approval.name, str(plan_id))])).get((approval.name, str(plan_id)))
    if known is not None:  # approving twice is one saga, whoever asks and whatever has become of it
        return _approved(known.saga_id)
    await _check_can_be_approved(request, backend, plan_id)
    try:
        handle: Any = await backend.start(
            approval, {"plan_id": str(plan_id), "approved_by": by}, key=str(plan_id), actor=by
        )
    except KeyConflict as twin:  # somebody else approved it in this moment
        return _approved(twin.saga_id)
    return _approved(handle.id)


async def job(request: web.Request, backend: Backend) -> web.Response:
    """`GET /api/marketplace/jobs/{jobId}`."""
    try:
        job_id = str(UUID(request.match_info["jobId"]))
    except ValueError:
        raise _unknown_job(request) from None
    found = await backend.job(job_id)
    if found is None:
        raise _unknown_job(request)
    given: Any = found.pop("input")
    found["planId"] = given.get("plan_id") if isinstance(given, dict) else None  # pyright: ignore[reportUnknownMemberType]
    return web.json_response(found)


ROUTES = (
    Route("POST", "/api/marketplace/analysis/upload", upload, "producer", BODY_BYTES_MAX),
    Route("GET", "/api/marketplace/analysis/{id}", show, "viewer"),
    Route("PATCH", "/api/marketplace/analysis/{id}", act, "producer"),
    Route("POST", "/api/marketplace/analysis/{id}", act, "producer"),
    Route("GET", "/api/marketplace/jobs/{jobId}", job, "viewer"),
)


async def _check_can_be_approved(request: web.Request, backend: Backend, plan_id: UUID) -> None:
    row = await backend.database.fetchrow("SELECT status FROM marketplace_plans WHERE id = $1", plan_id)
    if row is None:
        raise _unknown_plan(request)
    if row["status"] not in ("pending", "approved"):
        raise Problem(
            409,
            "Plan cannot be approved",
            f"plan {plan_id} is {row['status']}; only a plan that is pending can be approved",
            errors=[{"field": "id", "message": f"the plan is {row['status']}", "remedy": "wait until it is pending"}],
        )


def _approved(saga_id: str) -> web.Response:
    location = f"/api/marketplace/jobs/{saga_id}"
    body = {"jobId": saga_id, "sagaId": saga_id, "status": "approved", "message": APPROVED}
    return web.json_response(body, status=202, headers={"Location": location})


async def _read_form(request: web.Request) -> tuple[str, bytes, list[str]]:
    if request.content_type != "multipart/form-data":
        raise field_problem(
            415, "Unsupported media type", "Content-Type", f"is {request.content_type}", "send multipart/form-data"
        )
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise too_large()
    filename, content, channels = None, b"", list[str]()
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise field_problem(400, "Malformed form", "body", "has a part within a part", "send plain parts")
            if part.name == "file":
                if filename is not None:
                    raise field_problem(422, "Invalid form", "file", "is given twice", "send one file")
                filename, content = part.filename or "", await _read_part(part, BYTES_MAX)
            elif part.name == "channels":
                channels.append((await _read_part(part, 4096)).decode("utf-8", "replace").strip())
            else:
                raise field_problem(
                    422, "Invalid form", str(part.name)[:60], "is not expected", "send `file` and `channels` only"
                )
    except (ValueError, AssertionError) as malformed:
        raise field_problem(
            400, "Malformed form", "body", f"is no valid form: {malformed}", "send multipart/form-data"
        ) from None
    if filename is None:
        raise field_problem(422, "Invalid form", "file", "is missing", "send one file")
    return _text(filename[:NAME_CHARACTERS_MAX], "file"), content, _channels(channels)


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    found = bytearray()
    while chunk := await part.read_chunk(65536):
        found += chunk
        if len(found) > limit:
            raise too_large()
    return bytes(found)


def _channels(channels: list[str]) -> list[str]:
    named = list(dict.fromkeys(_text(channel, "channels") for channel in channels))
    if not named or len(named) > CHANNELS_MAX or any(not 0 < len(name) <= CHANNEL_CHARACTERS_MAX for name in named):
        raise field_problem(
            422, "Invalid form", "channels", "are not 1 to 20 names of 1 to 60 characters", "repeat channels=NAME"
        )
    return named


def _text(text: str, field: str) -> str:
    if "\x00" in text:
        raise field_problem(422, "Unstorable text", field, "holds a NUL", "remove it")
    return text.encode("utf-8", "replace").decode()


def _plan_id(request: web.Request) -> UUID:
    try:
        return UUID(request.match_info["id"])
    except ValueError:
        raise _unknown_plan(request) from None


def _unknown_plan(request: web.Request) -> Problem:
    text = f"{request.match_info['id'][:60]}: there is no such plan"
    errors = [{"field": "id", "message": "there is no such plan", "remedy": "use a planId that an upload answered"}]
    return Problem(404, "Not found", f"{text}; use a planId that an upload answered", errors=errors)


def _unknown_job(request: web.Request) -> Problem:
    text = f"{request.match_info['jobId'][:60]}: there is no such job"
    errors = [{"field": "jobId", "message": "there is no such job", "remedy": "use a jobId that an approval answered"}]
    return Problem(404, "Not found", f"{text}; use a jobId that an approval answered", errors=errors)

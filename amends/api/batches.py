"""`POST /api/sagas/hold` and `/release`: what a filter finds, a page a call, each saga with an event of its own."""

from typing import Any, cast, get_args

from aiohttp import web

from amends.api.bodies import read_json
from amends.api.guard import answer
from amends.api.idempotency import RequestIds, answer_once
from amends.api.requests import check_known, reason_of
from amends.backend import Backend
from amends.identifiers import is_id
from amends.problems import field_problem
from sagas.inputs import Hold, Release
from sagas.listing import SagaFilter
from sagas.statuses import SagaStatus

PAGE = 200
DONE = ("accepted", "nothing")
FILTERS = ("definition", "status", "keyPrefix")


async def hold_some(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/hold`: hold what a filter finds, a page at a time; `dryRun` only counts; 200, 400, 422."""
    return await _some(request, backend, Hold, await read_json(request))


async def release_some(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/release`: release what a filter finds, a page at a time; `dryRun` only counts; 200, 400, 422."""
    return await _some(request, backend, Release, await read_json(request))


async def _some(
    request: web.Request, backend: Backend, kind: type[Hold] | type[Release], body: dict[str, Any]
) -> web.Response:
    check_known(body, "reason", "dryRun", "cursor", *FILTERS)
    if "If-Match" in request.headers:
        raise field_problem(400, "Malformed request", "If-Match", "is about one saga", "name it, or leave this out")
    reason, dry_run, wanted = reason_of(body), _flag(body), _filter(body, held=kind is Release)
    verb = request.path.rsplit("/", 1)[-1]

    async def work(ids: RequestIds) -> web.Response:
        rows = await backend.store.sagas(wanted)
        found = [] if dry_run else [row.state.saga_id for row in rows]
        words = [kind(one, reason, f"{verb}/{ids.new(one)}", actor=request["caller"]) for one in found]
        told = await backend.ask_all(words)
        changed = sum(one.code in DONE for one in told)
        refused = [{"sagaId": one.saga_id, "detail": one.detail or one.code} for one in told if one.code not in DONE]
        following = rows[-1].cursor if len(rows) == wanted.limit else None
        return answer({"matched": len(rows), "changed": changed, "refused": refused, "next": following})

    return await answer_once(request, backend, [body], work)


def _filter(body: dict[str, Any], *, held: bool) -> SagaFilter:
    for name in (*FILTERS, "cursor"):
        if not isinstance(body.get(name), str | None):
            raise field_problem(422, "Invalid input", name, "is no text", "give a text, or leave it out")
    if not any(body.get(name) for name in FILTERS):
        raise field_problem(
            422, "Invalid input", "definition", "no filter is named", f"name one of {', '.join(FILTERS)}"
        )
    status, cursor = body.get("status"), body.get("cursor")
    if status is not None and status not in get_args(SagaStatus):
        known = ", ".join(get_args(SagaStatus))
        raise field_problem(422, "Invalid input", "status", f"is {status!r:.40}", f"give one of {known}")
    if cursor is not None and not is_id(cursor):
        raise field_problem(422, "Invalid input", "cursor", "is none of ours", "take it from `next`")
    return SagaFilter(
        definition=body.get("definition"), status=cast("str | None", status), key_prefix=body.get("keyPrefix"),
        held=held, after=cursor, limit=PAGE,
    )  # fmt: skip


def _flag(body: dict[str, Any]) -> bool:
    dry_run = body.get("dryRun", False)
    if not isinstance(dry_run, bool):
        raise field_problem(422, "Invalid input", "dryRun", "is no boolean", "give true or false")
    return dry_run

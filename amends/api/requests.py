"""`/api/sagas/{id}/…`: what people ask of a saga. Each answers with the saga as it stands then."""

from typing import Any, cast, get_args

from aiohttp import web

from amends.api.bodies import read_json
from amends.api.idempotency import RequestIds, answer_once
from amends.api.sagas import saga_id_of, show, unknown
from amends.backend import Backend, UnknownSaga
from amends.problems import Problem, field_problem
from sagas.errors import InputError
from sagas.events import Json, Resolution
from sagas.inputs import Asked, Cancel, Correct, Hold, Migrate, Release, Resolve, Send, TryAgain

REASON_CHARACTERS_MAX = 1000
ITEM_MAX = 10_000
FIELDS: dict[type[Asked], tuple[str, ...]] = {
    TryAgain: ("step", "item", "undo"),
    Correct: ("step", "item", "value"),
    Resolve: ("step", "item", "outcome", "result"),
    Migrate: ("fingerprint",),
}
Body = dict[str, Any]


async def cancel(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/{id}/cancel`: turn a saga back; 200, 409 when there is no way back."""
    return await _ask(request, backend, Cancel, await read_json(request))


async def hold(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/{id}/hold`: begin nothing new; 200, 409 when it has ended."""
    return await _ask(request, backend, Hold, await read_json(request))


async def release(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/{id}/release`: let a held saga go on; 200."""
    return await _ask(request, backend, Release, await read_json(request))


async def retry(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/{id}/retry`: try a step, or its undo, again; 200, 409 when it waits for nobody."""
    body = await read_json(request)
    undo = body.get("undo", False)
    if not isinstance(undo, bool):
        raise field_problem(422, "Invalid input", "undo", "is no boolean", "give true or false")
    return await _ask(request, backend, TryAgain, body, step=_step(body, needed=True), item=_item(body), undo=undo)


async def correct(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/{id}/correct`: replace a step's result, or the input where no step is named; 200, 409, 422."""
    body = await read_json(request)
    check_known(body, "reason", *FIELDS[Correct])
    step = _step(body)
    if "value" not in body:
        raise field_problem(422, "Invalid input", "value", "is missing", "give the value that is right")
    value = await _fit(request, backend, step, body["value"])
    return await _ask(request, backend, Correct, body, step=step, item=_item(body), value=value)


async def resolve(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/{id}/resolve`: say what is true of a step; 200, 409 when that is no question, 422."""
    body = await read_json(request)
    check_known(body, "reason", *FIELDS[Resolve])
    outcome = body.get("outcome")
    if outcome not in get_args(Resolution):
        known = ", ".join(get_args(Resolution))
        raise field_problem(422, "Invalid input", "outcome", f"is {outcome!r:.40}", f"say one of {known}")
    if outcome != "happened" and body.get("result") is not None:
        raise field_problem(422, "Invalid input", "result", f"goes with no {outcome}", "say happened, or leave it out")
    step = _step(body, needed=outcome != "accept")
    value = await _fit(request, backend, step, body.get("result"), "result") if outcome == "happened" else None
    return await _ask(request, backend, Resolve, body, outcome=outcome, step=step, item=_item(body), value=value)


async def migrate(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/{id}/migrate`: go on by another version that is known here; 200, 409 no fit, 412, 422."""
    body = await read_json(request)
    check_known(body, "reason", *FIELDS[Migrate])
    saga_id, fingerprint = saga_id_of(request), body.get("fingerprint")
    try:
        found = await backend.look_at(saga_id, fingerprint) if isinstance(fingerprint, str) else None
    except UnknownSaga:
        raise unknown(request) from None
    if found is None:
        text, remedy = "is no version that is known here", "take it from `amends check`, and deploy that version first"
        raise field_problem(422, "Invalid input", "fingerprint", text, remedy)
    if unfit := found.seen.unfit:
        text, remedy = f"cannot be done: {'; '.join(unfit)}", f"see GET /api/sagas/{saga_id}"
        raise field_problem(409, "Refused", "id", text, remedy)
    return await _ask(request, backend, Migrate, body, found.version, manifest=found.manifest, facts=found.seen.facts)


async def send(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/{id}/signals/{name}`: send a signal; 200, 404 no such wait, 409 nobody waits any more, 422."""
    saga_id, name = saga_id_of(request), request.match_info["name"]
    body = await read_json(request)
    check_known(body, "value")
    manifest = await backend.manifest_of(saga_id)
    if manifest is None:
        raise unknown(request)
    node = manifest.by_name.get(name)
    if node is None or node.kind != "signal":
        waits = ", ".join(one.name for one in manifest.nodes if one.kind == "signal")
        raise field_problem(404, "Not found", "name", f"{name[:100]!r} is no wait", f"name one of: {waits or 'none'}")
    value, expected = await _fit(request, backend, name, body.get("value")), _expected(request)

    async def work(ids: RequestIds) -> web.Response:
        word = Send(saga_id, name, value, f"signal/{ids.new('signal')}", actor=request["caller"], expected=expected)
        return await _told(request, backend, word)

    return await answer_once(request, backend, [body, name], work)


async def _ask(
    request: web.Request, backend: Backend, kind: type[Asked], body: Body, looked_at: int | None = None, **more: Any
) -> web.Response:
    """`looked_at` is the version on which the rest of the word was found: without `If-Match` that one is expected."""
    saga_id = saga_id_of(request)
    check_known(body, "reason", *FIELDS.get(kind, ()))
    reason, given = reason_of(body), _expected(request)
    expected = given if given is not None else looked_at
    verb = request.path.rsplit("/", 1)[-1]

    async def work(ids: RequestIds) -> web.Response:
        make = cast("Any", kind)
        word: Asked = make(
            saga_id, reason, f"{verb}/{ids.new(verb)}", actor=request["caller"], expected=expected, **more
        )
        return await _told(request, backend, word)

    return await answer_once(request, backend, [body], work)


async def _told(request: web.Request, backend: Backend, word: Asked | Send) -> web.Response:
    told = await backend.ask(word)
    if told.code == "not_found":
        raise unknown(request)
    where = f"see GET /api/sagas/{word.saga_id} for how it stands"
    if told.code in ("refused", "newer"):
        raise field_problem(409, "Refused", "id", f"cannot be done: {told.detail}", where)
    if told.code == "moved":
        raise field_problem(412, "Moved", "If-Match", str(told.detail), where)
    return await show(request, backend)


async def _fit(request: web.Request, backend: Backend, name: str | None, value: Json, field: str = "value") -> Json:
    try:
        return await backend.fit(saga_id_of(request), name, value)
    except UnknownSaga:
        raise unknown(request) from None
    except InputError as unfit:
        errors = [
            {"field": f"{field}.{inner}" if inner else field, "message": message, "remedy": "correct it"}
            for inner, message in unfit.errors
        ]
        raise Problem(422, "Invalid input", str(unfit), errors=errors) from None


def check_known(body: Body, *known: str) -> None:
    """Whether a body has known fields only: one that is misspelled would be left out in silence.

    Raises:
        Problem: 422, naming the field.
    """
    for name in body:
        if name not in known:
            shown = name[:60].encode("utf-8", "replace").decode() or "body"
            raise field_problem(422, "Invalid input", shown, "is no field here", f"use {', '.join(known)}")


def reason_of(body: Body) -> str:
    """Why it is asked.

    Raises:
        Problem: 422, nobody says.
    """
    reason = body.get("reason")
    if not isinstance(reason, str) or not reason.strip() or len(reason) > REASON_CHARACTERS_MAX:
        raise field_problem(
            422, "Invalid input", "reason", f"is no text of 1 to {REASON_CHARACTERS_MAX} characters", "say why"
        )
    return reason


def _step(body: Body, *, needed: bool = False) -> str | None:
    step = body.get("step")
    if not isinstance(step, str if needed else str | None):
        raise field_problem(422, "Invalid input", "step", "is no text", "name the step")
    return step


def _item(body: Body) -> int | None:
    item = body.get("item")
    if item is not None and (not isinstance(item, int) or isinstance(item, bool) or not 0 <= item < ITEM_MAX):
        raise field_problem(422, "Invalid input", "item", "is no place in a list", "give its number, from 0")
    return item


def _expected(request: web.Request) -> int | None:
    """The version in `If-Match`, as `ETag` shows it."""
    text = request.headers.get("If-Match")
    if text is None or text.strip() == "*":
        return None
    digits = text.strip().removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise field_problem(400, "Malformed request", "If-Match", f"is {text[:40]!r}", "take it from ETag")
    return int(digits)

"""`POST /api/sagas` and `/api/sagas/batch`: start sagas of any application, one or many."""

from typing import Any, cast

from aiohttp import web

from amends.api.bodies import read_json
from amends.api.guard import answer
from amends.api.idempotency import RequestIds, answer_once
from amends.api.requests import check_known
from amends.backend import Backend, Handle
from amends.problems import Problem, field_problem
from amends.starting import KEY_CHARACTERS_MAX, KEY_LENGTH, STARTS_MAX, StartRefused, ToStart

REMEDIES = {"conflict": "use another key, or send the same input", "invalid": "correct it"}
Body = dict[str, Any]


async def start(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas`: start a saga; 201 new, 200 known by its key, 409 the key has another input, 404, 422."""
    body = await read_json(request)
    _check(body)
    if (key := body.get("key")) is not None and not 0 < len(key) <= KEY_CHARACTERS_MAX:
        raise field_problem(422, "Invalid input", "key", KEY_LENGTH, "shorten it, or leave it out")

    async def work(ids: RequestIds) -> web.Response:
        handle: Handle[Any] = await backend.start(
            body["definition"],
            body["input"],
            key=key,
            saga_id=ids.new("saga"),
            actor=request["caller"],
            trace=request.get("request_id"),
        )
        created = handle.created or ids.made(handle.id, "saga")
        document = _started(body["definition"], handle, created=created)
        return answer(document, 201 if created else 200, {"Location": f"/api/sagas/{handle.id}"})

    return await answer_once(request, backend, [body], work)


async def start_many(request: web.Request, backend: Backend) -> web.Response:
    """`POST /api/sagas/batch`: start up to 500 sagas; 200 with what became of each of them.

    `outcome` is `created`, `known`, `conflict` or `invalid`; one that is refused holds up no other.
    """
    body = await read_json(request)
    check_known(body, "sagas")
    given = cast("list[Any] | None", body.get("sagas"))  # or whatever else was sent
    if not isinstance(given, list) or not 0 < len(given) <= STARTS_MAX:
        raise field_problem(
            422, "Invalid input", "sagas", f"is no list of 1 to {STARTS_MAX} sagas", "send them in several requests"
        )
    items = [_item(index, item) for index, item in enumerate(given)]

    async def work(ids: RequestIds) -> web.Response:
        found = await backend.start_many(
            items,
            request_id=None if ids.origin is None else str(ids.origin),
            actor=request["caller"],
            trace=request.get("request_id"),
        )
        return answer({"items": [_told(item, one) for item, one in zip(items, found, strict=True)]})

    return await answer_once(request, backend, [body], work)


def _check(body: Body) -> None:
    """Whether a saga that is to be started is asked for as it should be.

    Raises:
        Problem: 422, naming the field.
    """
    if not isinstance(body.get("definition"), str):
        raise field_problem(422, "Invalid input", "definition", "is no text", "name the saga to start")
    if not isinstance(body.get("key"), str | None):
        raise field_problem(422, "Invalid input", "key", "is no text", "give a text, or leave it out")
    if "input" not in body:
        raise field_problem(422, "Invalid input", "input", "is missing", "give the saga's input")


def _item(index: int, item: Any) -> ToStart[Any]:
    """One of the list. What is no request for a saga at all is an error of the whole list.

    Raises:
        Problem: 422, naming the item and the field.
    """
    place = f"sagas.{index}"
    if not isinstance(item, dict):
        raise field_problem(422, "Invalid input", place, "is no object", "give definition, input and perhaps key")
    body = cast("Body", item)
    try:
        check_known(body, "definition", "input", "key")
        _check(body)
    except Problem as problem:
        (error,) = problem.errors
        raise field_problem(
            422, "Invalid input", f"{place}.{error['field']}", error["message"], error["remedy"]
        ) from None
    return ToStart(body["definition"], body["input"], body.get("key"))


def _started(definition: str, handle: Handle[Any], *, created: bool) -> Body:
    return {"sagaId": handle.id, "definition": definition, "status": handle.status, "created": created}


def _told(item: ToStart[Any], found: Handle[Any] | StartRefused) -> Body:
    """What became of one of the list."""
    if not isinstance(found, StartRefused):
        document = _started(item.definition, found, created=found.created)
        return {"outcome": "created" if found.created else "known", **document}
    fields = [
        {"field": f"sagas.{found.index}.{field}", "message": message, "remedy": REMEDIES[found.reason]}
        for field, message in found.errors
    ]
    taken = {} if found.saga_id is None else {"sagaId": found.saga_id}
    return {"outcome": found.reason, "definition": item.definition, **taken, "errors": fields}

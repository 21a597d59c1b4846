"""`/api/sagas`: list and show sagas of any application."""

from typing import Any, cast, get_args

from aiohttp import web

from amends import views
from amends.api.guard import answer
from amends.backend import Backend
from amends.identifiers import is_id
from amends.problems import Problem, field_problem
from sagas.listing import SagaFilter
from sagas.statuses import SagaStatus, WaitKind
from sagas.storable import unstorable

PAGE, PAGE_MAX = 50, 200
EVENTS, EVENTS_MAX = 200, 1000
DIGITS_MAX = 10


async def list_all(request: web.Request, backend: Backend) -> web.Response:
    """`GET /api/sagas`: list sagas; filters `definition`, `status`, `key`, `keyPrefix`, `waiting`; in pages."""
    asked = request.query
    cursor = asked.get("cursor")
    if cursor is not None and not is_id(cursor):
        raise field_problem(400, "Malformed request", "cursor", "is none of ours", "take it from `next`")
    wanted = SagaFilter(
        definition=_text(asked.get("definition"), "definition"),
        status=_one_of(asked.get("status"), "status", get_args(SagaStatus)),
        key=_text(asked.get("key"), "key"),
        key_prefix=_text(asked.get("keyPrefix"), "keyPrefix"),
        waiting=cast("WaitKind | None", _one_of(asked.get("waiting"), "waiting", get_args(WaitKind))),
        after=cursor,
        limit=limit_of(request, PAGE, PAGE_MAX),
    )
    items, following = await backend.list(wanted)
    return answer({"items": items, "next": following})


async def show(request: web.Request, backend: Backend) -> web.Response:
    """`GET /api/sagas/{id}`: a saga with its steps, waits and values."""
    view = await backend.view(saga_id_of(request))
    if view is None:
        raise unknown(request)
    return answer(view, headers={"ETag": f'"{view["version"]}"'})


async def events(request: web.Request, backend: Backend) -> web.Response:
    """`GET /api/sagas/{id}/events`: the history of a saga, in pages."""
    saga_id = saga_id_of(request)
    after = _number(request.query.get("cursor", "0"), "cursor", 0, 2**31 - 1)
    limit = limit_of(request, EVENTS, EVENTS_MAX)
    history = await backend.history(saga_id, after, limit)
    if history is None:
        raise unknown(request)
    following = str(history[-1].sequence) if len(history) == limit else None
    return answer({"items": [views.event(entry) for entry in history], "next": following})


def saga_id_of(request: web.Request, name: str = "id") -> str:
    """The saga's id in the path.

    Raises:
        Problem: 404, it is no id.
    """
    text = request.match_info[name].lower()
    if not is_id(text):
        raise unknown(request)
    return text


def unknown(request: web.Request) -> Problem:
    """The answer for a saga that is not there."""
    text = f"{request.path[:200]!r}: there is no such saga"
    return field_problem(404, "Not found", "id", text, "GET /api/sagas lists them")


def limit_of(request: web.Request, default: int, most: int) -> int:
    """The size of a page."""
    return _number(request.query.get("limit", str(default)), "limit", 1, most)


def _number(text: str, field: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS_MAX or not least <= int(text) <= most:
        raise field_problem(
            400, "Malformed request", field, f"is {text[:40]!r}", f"give a number from {least} to {most}"
        )
    return int(text)


def _text(text: str | None, field: str) -> str | None:
    if text is not None and unstorable(text):
        raise field_problem(400, "Malformed request", field, "holds a NUL or half a surrogate pair", "remove it")
    return text


def _one_of(text: str | None, field: str, allowed: tuple[Any, ...]) -> str | None:
    if text is not None and text not in allowed:
        raise field_problem(400, "Malformed request", field, f"is {text[:40]!r}", f"give one of {', '.join(allowed)}")
    return text

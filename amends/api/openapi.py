"""`GET /openapi.json`: OpenAPI 3.1, made from the routes."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from aiohttp import web

from amends.api.guard import answer
from amends.api.schemas import TEXT
from amends.application import Route
from amends.backend import Backend

PARAMETER = re.compile(r"{(\w+)}")
SAGA = "/api/sagas/{id}"
CHANGING = frozenset({"POST", "PATCH", "PUT", "DELETE"})
PROBLEMS = {
    400: "the request is malformed",
    401: "there is no valid key",
    403: "the role of the key is too low",
    404: "there is no such thing",
    409: "it contradicts how things stand",
    412: "it has moved since it was at the version in `If-Match`",
    413: "the body is too large",
    415: "the body is of a type that is not taken here",
    422: "a field does not fit; `errors` names it",
    503: "a server is away: try again",
}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "requestId": TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": TEXT, "message": TEXT, "remedy": TEXT},
            },
        },
    },
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same key and body get the same answer for a day",
    "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
}


IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "the `ETag` that was seen: what has moved since is left alone",
    "schema": TEXT,
}


class Description:
    """The document of some routes. `open_routes` need no key."""

    def __init__(self, routes: Iterable[Route], open_routes: Iterable[Route]) -> None:
        self.document = document_of(routes, (*open_routes, Route("GET", "/openapi.json", self.show)))

    async def show(self, request: web.Request, backend: Backend) -> web.Response:
        """`GET /openapi.json`: this description."""
        return answer(self.document)


def document_of(routes: Iterable[Route], open_routes: Iterable[Route]) -> dict[str, Any]:
    """What the routes are, as OpenAPI says it."""
    paths: dict[str, dict[str, Any]] = {}
    for is_open, some in ((False, routes), (True, open_routes)):
        for route in some:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, is_open=is_open)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Amends", "version": _version()},
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": PROBLEM},
            "responses": {str(status): _problem(says) for status, says in PROBLEMS.items()},
        },
    }


def summary_of(docstring: str | None) -> str:
    """The first line of a docstring, without the route that it begins with."""
    line = (docstring or "").strip().partition("\n")[0]
    said = line.partition("`: ")[2] or line
    return said.rstrip(".")


def _operation(route: Route, *, is_open: bool) -> dict[str, Any]:
    names = PARAMETER.findall(route.path)
    changing = route.method in CHANGING
    guarded = route.path.startswith(f"{SAGA}/")  # what is asked of one saga may name the version that was seen
    told = {400, 503}
    told.update(() if is_open else (401, 403, 422), (404,) if names else (), (404, 409, 413, 415) if changing else ())
    told.update((412,) if changing and guarded else ())
    parameters: list[Mapping[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": TEXT} for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema} for name, schema in route.query.items()
    ]
    parameters += [IDEMPOTENCY_KEY] if changing else []
    parameters += [IF_MATCH] if changing and guarded else []
    words = re.sub(r"\W+", "_", route.path).strip("_")
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{words}",
        "summary": summary_of(route.handler.__doc__),
        "parameters": parameters,
        "security": [] if is_open else [{"key": []}],
        "responses": {
            **_successes(route),
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(told)},
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {route.body_type: {"schema": route.body}}}
    return operation if is_open else {**operation, "description": f"Needs a key with the role {route.role}."}


def _successes(route: Route) -> dict[str, Any]:
    """What the route answers when all is well, as far as it says so."""
    if not route.answers:
        return {"2XX": {"description": "done"}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": {"application/json": {"schema": schema}}}
        for status, schema in route.answers.items()
    }


def _problem(says: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": says, "content": content}


def _version() -> str:
    try:
        return version("amends")
    except PackageNotFoundError:  # it runs from its source
        return "0"

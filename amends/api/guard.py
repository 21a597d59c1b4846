"""What stands before every route: request ids, keys, and problem documents for whatever goes wrong."""

import logging
import re
from collections.abc import Awaitable, Callable, Collection
from uuid import uuid4

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from amends.api.callers import Callers
from amends.backend import UnknownDefinition
from amends.joining import KeyConflict, NotSupported
from amends.problems import Problem, field_problem
from eventstore.postgres import AWAY
from sagas.errors import InputError
from sagas.ports import StoreUnavailable

log = logging.getLogger("amends.api")

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
RETRY_AFTER_SECONDS = "2"
TITLES = {
    400: "Malformed request",
    404: "Not found",
    405: "Method not allowed",
    413: "Body too large",
    415: "Unsupported media type",
    417: "Expectation failed",
}
FIELDS = {
    404: ("path", "there is nothing here", "see the reference for the endpoints"),
    405: ("method", "is not possible here", "use one of the methods that Allow names"),
    413: ("body", "is too large", "send a smaller body"),
    417: ("Expect", "is not known", "send Expect: 100-continue, or leave it out"),
}
COMPRESSED = "Content-Encoding"
Answers = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def answering(handle: Answers) -> Answers:
    """A handler of all requests that gives each an id, and turns whatever goes wrong into a problem document."""

    async def answer_it(request: web.BaseRequest) -> web.StreamResponse:
        asked = request.headers.get("X-Request-Id", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else new_request_id()
        request["request_id"] = request_id
        try:
            response = await handle(request)
        except Problem as problem:
            response = problem_response(problem, request_id)
        except Exception as error:  # noqa: BLE001 - the last line of defence: the caller gets a problem document
            response = problem_response(problem_of(error, request), request_id)
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id
            if "traceparent" in request.headers:
                response.headers["traceparent"] = request.headers["traceparent"]
        return response

    return answer_it


def new_request_id() -> str:
    """An id for a request that brings none of its own."""
    return uuid4().hex


def guard(callers: Callers, open_paths: Collection[str]) -> Middleware:
    """What stands before every route: every path but `open_paths` needs a key, and bodies come as they are."""

    @web.middleware
    async def keyed(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in open_paths:
            scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
            caller = await callers.who(shown.strip()) if scheme.lower() == "bearer" else None
            if caller is None:
                raise _unauthorized()
            request["key"], request["caller"] = caller, caller.name
        if request.headers.get(COMPRESSED, "identity").lower() != "identity":
            raise field_problem(415, TITLES[415], COMPRESSED, "is not taken", "send the body uncompressed")
        return await handler(request)

    return keyed


def _unauthorized() -> Problem:
    problem = field_problem(401, "Unauthorized", "Authorization", "no valid key", "send Authorization: Bearer KEY")
    problem.headers["WWW-Authenticate"] = "Bearer"
    return problem


def problem_of(error: Exception, request: web.BaseRequest) -> Problem:
    """An exception as what the caller is told."""
    match error:
        case web.HTTPException():
            return _of_status(error, request)
        case broken if isinstance(broken, web.RequestPayloadError) or _caller_left(broken, request):
            return field_problem(
                400, TITLES[400], "body", "ends early, or is not what its headers say", "send it whole"
            )
        case InputError():
            errors = [
                {"field": field or "input", "message": message, "remedy": "correct it"}
                for field, message in error.errors
            ]
            return Problem(422, "Invalid input", str(error), errors=errors)
        case UnknownDefinition():
            return field_problem(404, "Unknown definition", "definition", str(error), "name one of these")
        case NotSupported():
            return field_problem(422, "Not supported", "definition", str(error), "start it with a later version")
        case KeyConflict():
            return field_problem(409, "Key conflict", "key", str(error), "use another key, or send the same input")
        case away if isinstance(away, (StoreUnavailable, *AWAY)):
            log.warning("the database is away: %s", error)
            return unavailable()
        case _:
            log.exception("%s %s failed", request.method, request.path, exc_info=error)
            return Problem(500, "Internal error", "this is our fault; the request id finds it in the log")


def _caller_left(error: Exception, request: web.BaseRequest) -> bool:
    """Whether it is the caller's connection that broke, not one of ours to the database."""
    return isinstance(error, ConnectionError) and request.transport is None


def unavailable() -> Problem:
    """The answer while the database is away."""
    problem = field_problem(503, "Unavailable", "database", "is away", "try again")
    problem.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return problem


def _of_status(error: web.HTTPException, request: web.BaseRequest) -> Problem:
    """What aiohttp itself answers."""
    status = error.status
    place, message, remedy = FIELDS.get(status, ("request", error.reason, "correct it"))
    said = f"{request.method} {request.path[:200]}: {message}"
    problem = field_problem(status, TITLES.get(status, error.reason), place, said, remedy)
    if "Allow" in error.headers:
        problem.headers["Allow"] = error.headers["Allow"]
    return problem


def problem_response(problem: Problem, request_id: str) -> web.Response:
    """A problem document."""
    return web.Response(
        status=problem.status,
        body=orjson.dumps(problem.document(request_id)),
        content_type="application/problem+json",
        headers={**problem.headers, "X-Request-Id": request_id},
    )


def answer(document: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json", headers=headers)

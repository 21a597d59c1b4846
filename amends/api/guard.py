"""What stands before every route: request ids, keys, and problem documents for whatever goes wrong."""

import hmac
import logging
import re
from collections.abc import Collection
from uuid import uuid4

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from amends.backend import UnknownDefinition
from amends.joining import KeyConflict, NotSupported
from amends.problems import Problem
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
}
REMEDIES = {
    404: "there is no such path: see the reference for the endpoints",
    405: "use one of the methods that Allow names",
    413: "send a smaller body",
}


def guard(api_key: str, open_paths: Collection[str]) -> list[Middleware]:
    """The middlewares of the API. Every path but `open_paths` needs the key."""

    @web.middleware
    async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = request.headers.get("X-Request-Id", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else uuid4().hex
        request["request_id"] = request_id
        try:
            response = await handler(request)
        except Problem as problem:
            response = problem_response(problem, request_id)
        except Exception as error:  # noqa: BLE001 - the last line of defence: the caller gets a problem document
            response = problem_response(problem_of(error, request), request_id)
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id
            if "traceparent" in request.headers:
                response.headers["traceparent"] = request.headers["traceparent"]
        return response

    @web.middleware
    async def keyed(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in open_paths:
            return await handler(request)
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode(), api_key.encode()):
            raise Problem(
                401,
                "Unauthorized",
                "Authorization: no valid key; send `Authorization: Bearer KEY`",
                errors=[
                    {"field": "Authorization", "message": "no valid key", "remedy": "send Authorization: Bearer KEY"}
                ],
                headers={"WWW-Authenticate": "Bearer"},
            )
        return await handler(request)

    return [identified, keyed]


def problem_of(error: Exception, request: web.Request) -> Problem:
    """An exception as what the caller is told."""
    match error:
        case web.HTTPException():
            status = error.status
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            detail = f"{request.method} {request.path}: {REMEDIES.get(status, error.reason)}"
            return Problem(status, TITLES.get(status, error.reason), detail, headers=headers)
        case InputError():
            errors = [
                {"field": field or "input", "message": message, "remedy": "correct it"}
                for field, message in error.errors
            ]
            return Problem(422, "Invalid input", str(error), errors=errors)
        case UnknownDefinition():
            return Problem(404, "Unknown definition", str(error))
        case NotSupported():
            return Problem(422, "Not supported", str(error))
        case KeyConflict():
            return Problem(409, "Key conflict", f"{error}; use another key, or send the same input")
        case away if isinstance(away, (StoreUnavailable, *AWAY)):
            log.warning("the database is away: %s", error)
            return Problem(503, "Unavailable", "the database is away: try again",
                           headers={"Retry-After": RETRY_AFTER_SECONDS})  # fmt: skip
        case _:
            log.exception("%s %s failed", request.method, request.path, exc_info=error)
            return Problem(500, "Internal error", "this is our fault; the request id finds it in the log")


def problem_response(problem: Problem, request_id: str) -> web.Response:
    """A problem document."""
    return web.Response(
        status=problem.status,
        body=orjson.dumps(problem.document(request_id)),
        content_type="application/problem+json",
        headers=problem.headers,
    )


def answer(document: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json", headers=headers)

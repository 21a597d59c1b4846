"""Requests: bodies that are bounded, of the right type and without what Postgres cannot store; known parameters."""

from collections.abc import Collection, Iterable
from typing import Any

import orjson
from aiohttp import web

from amends.problems import Problem, field_problem
from sagas.storable import unstorable

LEVELS_MAX = 100
PARSER_SAYS_TOO_DEEP = "depth limit exceeded"


async def read_json(request: web.Request) -> dict[str, Any]:
    """The request's body as a JSON object, of at most the `body_bytes_max` of its route.

    Raises:
        Problem: 413 too large, 415 not JSON by its type, 400 malformed, 422 text that cannot be stored.
    """
    if request.content_type not in ("application/json", "application/octet-stream", ""):
        raise field_problem(
            415, "Unsupported media type", "Content-Type", f"is {request.content_type}", "send application/json"
        )
    limit_bytes = request.client_max_size
    if (request.content_length or 0) > limit_bytes:
        raise too_large(limit_bytes)
    body = bytearray()
    async for chunk in request.content.iter_chunked(65536):
        body += chunk
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
    try:
        found: Any = orjson.loads(bytes(body))
    except orjson.JSONDecodeError as malformed:
        if malformed.msg == PARSER_SAYS_TOO_DEEP:
            raise _too_deep() from None
        raise field_problem(400, "Malformed body", "body", f"is not JSON: {malformed}", "send a JSON object") from None
    if not isinstance(found, dict):
        raise field_problem(400, "Malformed body", "body", "is not a JSON object", "send a JSON object")
    if body.count(b"[") + body.count(b"{") > LEVELS_MAX and _is_deeper(found, LEVELS_MAX):
        raise _too_deep()
    check_text(found, "body")
    return found  # pyright: ignore[reportUnknownVariableType] # any object


def demand_known(request: web.Request, known: Collection[str]) -> None:
    """Whether the query has parameters that the route takes, and each once: one that is misspelled asks for all.

    Raises:
        Problem: 422, naming the parameter.
    """
    for name in request.query:
        shown = name[:60].encode("utf-8", "replace").decode()
        if name not in known:
            remedy = f"use {', '.join(known)}" if known else "leave it out"
            raise field_problem(422, "Invalid query", shown, "is no parameter here", remedy)
        if len(request.query.getall(name)) > 1:
            raise field_problem(422, "Invalid query", shown, "is given twice", "give it once")


def too_large(limit_bytes: int) -> Problem:
    """The answer to a body over the limit."""
    return field_problem(
        413, "Body too large", "body", f"is larger than {limit_bytes:,} bytes", f"send at most {limit_bytes:,} bytes"
    )


def _too_deep() -> Problem:
    return field_problem(
        422, "Nested too deeply", "body", f"is nested too deeply: over {LEVELS_MAX} levels", "flatten it"
    )


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value is nested deeper; level by level, so that no depth is too much for looking."""
    level: list[Any] = [value]
    for _ in range(levels + 1):
        level = [part for whole in level for part in _parts_of(whole)]
        if not level:
            return False
    return True


def _parts_of(whole: Any) -> Iterable[Any]:
    kind = type(whole).__name__
    return whole.values() if kind == "dict" else whole if kind == "list" else ()


def check_text(value: Any, field: str) -> None:
    """Whether Postgres can store all text in this value.

    Raises:
        Problem: 422, naming the field.
    """
    if (place := unstorable(value)) is not None:
        raise field_problem(
            422,
            "Unstorable text",
            f"{field}.{place}",
            "holds a NUL or half a surrogate pair",
            "remove these characters",
        )

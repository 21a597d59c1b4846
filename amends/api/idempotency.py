"""`Idempotency-Key`: a request that is repeated under its key is answered as before, and done once (decision 0011)."""

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any
from uuid import UUID, uuid5

import orjson
from aiohttp import web

from amends.api.callers import caller_of
from amends.api.guard import problem_of, problem_response
from amends.backend import Backend
from amends.identifiers import new_id
from amends.problems import Problem, field_problem
from eventstore.requests import KeptAnswer, KeyBusy, KeyReused, Requests
from sagas.ports import StoreUnavailable

log = logging.getLogger("amends.api")

HEADER = "Idempotency-Key"
KEY = re.compile(r"[ -~]{1,255}")
KEPT_HEADERS = ("Content-Type", "Location", "ETag")
RETRY_AFTER_SECONDS = "5"
SMALL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class RequestIds:
    """Where a request takes the ids of what it makes from: a repeat under its key is given the same ones."""

    origin: UUID | None

    def new(self, what: str) -> str:
        """The id of a thing that this request makes; `what` is its name within the request."""
        return new_id() if self.origin is None else str(uuid5(self.origin, what))

    def made(self, found: str, what: str) -> bool:
        """Whether the id that was found is that of a thing that this request made, perhaps before a crash."""
        return self.origin is not None and found == self.new(what)


Work = Callable[[RequestIds], Awaitable[web.Response]]


def fingerprint_of(*parts: object) -> str:
    """The fingerprint of a body: of JSON values, or of bytes."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else orjson.dumps(part, option=orjson.OPT_SORT_KEYS)
        digest.update(b"%d:" % len(raw) + raw)
    return digest.hexdigest()


async def answer_once(request: web.Request, backend: Backend, body: Sequence[object], work: Work) -> web.Response:
    """Do the work, or answer what the first request with this key was answered. Without a key the work is done.

    `body` is what was asked: JSON values, or bytes.
    The work makes its ids from those that it is given, and goes on where it meets rows that have them. What it is
    answered is kept for a day, also that it was refused; an answer that says when to try again (`Retry-After`) is not,
    nor is one of 500 and more.

    Raises:
        Problem: 400 the key is malformed, 409 the first request still runs, 422 the key had another body.
        StoreUnavailable: the database is away.
    """
    key = _key(request)
    if key is None:
        return await work(RequestIds(None))
    requests, caller = backend.requests, caller_of(request).id
    parts = (request.method, request.path, *body)
    small = (request.content_length or inf) <= SMALL_BYTES  # a thread would cost more than the work
    body_hash = fingerprint_of(*parts) if small else await asyncio.to_thread(fingerprint_of, *parts)
    try:
        begun = await requests.begin(caller, key, body_hash)
    except KeyReused:
        raise field_problem(
            422, "Key reused", HEADER, "was used for another request", "use a new key, or send the same body again"
        ) from None
    except KeyBusy:
        problem = field_problem(409, "Request still runs", HEADER, "its first request still runs", "try again later")
        problem.headers["Retry-After"] = RETRY_AFTER_SECONDS
        raise problem from None
    if isinstance(begun, KeptAnswer):
        return web.Response(status=begun.status, body=begun.body, headers=begun.headers)
    response = await _worked(request, work, RequestIds(begun))
    await _end(requests, caller, key, response)
    return response


def _key(request: web.Request) -> str | None:
    """The request's key, if it has one.

    Raises:
        Problem: 400, it is none.
    """
    given = request.headers.getall(HEADER, [])
    if not given:
        return None
    if len(given) > 1 or not KEY.fullmatch(given[0]):
        message = "is given twice" if len(given) > 1 else "is not 1 to 255 printable ASCII characters"
        raise field_problem(400, "Malformed request", HEADER, message, "send one such key, such as a UUID")
    return given[0]


async def _worked(request: web.Request, work: Work, ids: RequestIds) -> web.Response:
    """What the work answers; whatever goes wrong in it is an answer too."""
    try:
        return await work(ids)
    except Problem as problem:
        return problem_response(problem, request["request_id"])
    except Exception as error:  # noqa: BLE001 - whatever it is, the key must be kept or freed
        return problem_response(problem_of(error, request), request["request_id"])


async def _end(requests: Requests, caller: str, key: str, response: web.Response) -> None:
    """Keep the answer, or free the key. If the database is away now, the key is free in half a minute."""
    try:
        if response.status >= 500 or "Retry-After" in response.headers:
            await requests.free(caller, key)
        else:
            headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
            await requests.keep(caller, key, KeptAnswer(response.status, headers, _bytes(response.body)))
    except StoreUnavailable as away:
        log.warning("the answer to a keyed request is not kept: %s", away)


def _bytes(body: Any) -> bytes:
    assert isinstance(body, bytes | None), "a JSON answer"
    return body or b""

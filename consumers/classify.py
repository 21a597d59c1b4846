"""Two questions for each exception: try again? and may it have happened? (rule O2, def_R26) [req. H5, H6]."""

import errno
from typing import cast

from sagas.errors import ArgumentError, Permanent, Recoverable, ResultError
from sagas.events import Failure
from sagas.records import record

MESSAGE_CHARACTERS_MAX = 2000
MAYBE_STATUSES = frozenset({408, 409, 429})
RETRIED_STATUSES = frozenset({408, 409, 425, 429})
CODES = {ArgumentError: "bad_argument", ResultError: "bad_result", Permanent: "permanent", Recoverable: "recoverable"}


@record
class Verdict:
    """What an exception proves. `nothing_happened` is true only where it does; `retry_after` is in seconds."""

    nothing_happened: bool
    retryable: bool
    code: str
    retry_after: float | None = None


def classify(error: BaseException) -> Verdict:
    """The verdict on an exception that a handler raised."""
    if isinstance(error, Permanent):
        return Verdict(error.happened is False, False, CODES.get(type(error), "permanent"))
    if isinstance(error, Recoverable):
        return Verdict(error.happened is False, True, "recoverable", error.retry_after_seconds)
    status = _status(error)
    if status is not None and 400 <= status < 500:
        maybe = status in MAYBE_STATUSES
        return Verdict(not maybe, status in RETRIED_STATUSES, f"http_{status}", _retry_after(error))
    if status is not None and status >= 500:
        return Verdict(False, True, f"http_{status}", _retry_after(error))
    if isinstance(error, OSError) and (isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED):
        return Verdict(True, True, "connection_refused")
    if isinstance(error, TimeoutError):
        return Verdict(False, True, "timeout")
    return Verdict(False, True, "error")


def failure(error: BaseException, attempt: int, verdict: Verdict | None = None) -> Failure:
    """The exception as events keep it."""
    judged = verdict or classify(error)
    return make_failure(
        type(error).__name__,
        judged.code,
        str(error) or type(error).__name__,
        attempt,
        retryable=judged.retryable,
        happened=False if judged.nothing_happened else None,
    )


def make_failure(
    kind: str, code: str, message: str, attempt: int, *, retryable: bool, happened: bool | None = None
) -> Failure:
    """An error as events keep it: text that Postgres can store, of bounded length."""
    text = message.replace("\x00", "").encode("utf-8", "replace").decode()
    return {
        "type": kind,
        "code": code,
        "message": text[:MESSAGE_CHARACTERS_MAX],
        "attempt": attempt,
        "retryable": retryable,
        "happened": happened,
    }


def _status(error: BaseException) -> int | None:
    """The HTTP status that the common clients' exceptions carry."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code"):
            found = getattr(holder, name, None)
            if isinstance(found, int):
                return found
    return None


def _retry_after(error: BaseException) -> float | None:
    headers = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", None)
    get = getattr(headers, "get", None)
    if get is None:
        return None
    try:
        seconds = float(cast("str", get("Retry-After")))
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None

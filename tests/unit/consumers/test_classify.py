"""Two questions for each exception: try again? may it have happened? (rule_O2, req_H5, req_H6)."""

import errno
from typing import Any

import pytest

from amends import Permanent, Recoverable
from consumers.classify import classify, failure
from sagas.errors import ArgumentError, ResultError


class HttpError(Exception):
    """As the common clients raise it."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers or {}


class Nested(Exception):
    """As httpx raises it."""

    def __init__(self, status: int) -> None:
        super().__init__("status")
        self.response = type("Response", (), {"status_code": status, "headers": {}})()


CASES: list[tuple[BaseException, bool, bool]] = [
    (Permanent("no"), True, False),
    (Permanent("who knows", happened=None), False, False),
    (Recoverable("later"), True, True),
    (Recoverable("later", happened=None), False, True),
    (ArgumentError("s", "p", "f", "m"), True, False),
    (ResultError("s", "f", "x", "m"), False, False),
    (ConnectionRefusedError(), True, True),
    (OSError(errno.ECONNREFUSED, "refused"), True, True),
    (ConnectionResetError(), False, True),
    (TimeoutError(), False, True),
    (ValueError("a bug"), False, True),
    (HttpError(400), True, False),
    (HttpError(401), True, False),
    (HttpError(404), True, False),
    (HttpError(422), True, False),
    (HttpError(408), False, True),
    (HttpError(409), False, True),
    (HttpError(429), False, True),
    (HttpError(500), False, True),
    (HttpError(503), False, True),
    (Nested(403), True, False),
    (Nested(502), False, True),
]


@pytest.mark.parametrize(
    ("error", "nothing_happened", "retryable"), CASES, ids=[f"{type(c[0]).__name__} {c[0]}"[:40] for c in CASES]
)
def test_what_an_exception_proves(error: BaseException, nothing_happened: bool, retryable: bool) -> None:
    verdict = classify(error)
    assert (verdict.nothing_happened, verdict.retryable) == (nothing_happened, retryable)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", None), ("-1", None)])
def test_retry_after_is_taken_from_the_answer(header: str, seconds: float | None) -> None:
    assert classify(HttpError(429, {"Retry-After": header})).retry_after == seconds


def test_retry_after_of_the_handler_wins() -> None:
    assert classify(Recoverable("later", retry_after=90)).retry_after == 90


def test_an_errors_text_can_be_stored_and_is_bounded() -> None:
    kept: Any = failure(ValueError("a\x00b\ud800" + "x" * 5000), 3)
    assert kept["message"].startswith("ab?")
    assert len(kept["message"]) == 2000
    assert (kept["type"], kept["attempt"], kept["retryable"], kept["happened"]) == ("ValueError", 3, True, None)

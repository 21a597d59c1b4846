"""What callers are told when something goes wrong that is none of their doing."""

import asyncpg
import pytest
from aiohttp.test_utils import make_mocked_request

from amends.api.guard import problem_of
from sagas.ports import StoreUnavailable


@pytest.mark.parametrize(
    "error",
    [StoreUnavailable("away"), ConnectionRefusedError(), asyncpg.ConnectionDoesNotExistError("gone"), TimeoutError(),
     asyncpg.CannotConnectNowError("starting"), asyncpg.InterfaceError("closed"),
     asyncpg.InternalClientError("cannot switch to state 15")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_while_the_database_is_away_the_answer_is_to_try_again(error: Exception) -> None:
    problem = problem_of(error, make_mocked_request("GET", "/"))
    assert (problem.status, problem.title) == (503, "Unavailable")
    assert int(problem.headers["Retry-After"]) > 0


def test_a_defect_of_ours_tells_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    problem = problem_of(KeyError("secret"), make_mocked_request("GET", "/"))
    assert problem.status == 500
    assert "secret" not in str(problem.document("r"))
    assert "secret" in caplog.text

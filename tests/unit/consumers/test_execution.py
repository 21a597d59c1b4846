"""What becomes of what a handler raises (rule_O2), above all of times that run out, its own and ours."""

import asyncio
import errno
import math
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Context, Permanent, Recoverable, Saga
from amends.testing.virtual import run_virtual
from consumers.envelopes import dump, load_word
from consumers.execution import Surroundings, execute
from sagas.inputs import Outcome
from sagas.ports import Command


class Job(BaseModel):
    pass


COMMAND = Command(
    saga_id="01900000-0000-7000-8000-000000000001",
    opened_by=2,
    definition="one",
    fingerprint="f",
    step="call",
    item=None,
    role="step",
    attempt=1,
    queue="default",
    priority="normal",
    timeout=60.0,
    arguments={"request": {}},
)


def outcome_of(handler: Callable[..., Any]) -> Outcome:
    """What becomes of one execution, as it comes out of the stream."""
    saga = Saga("one", input=Job)
    saga.step("call")(handler)
    bound = saga.seal().handlers["call", "step"]

    async def drive() -> Outcome:
        return await execute(COMMAND, bound, Surroundings(), transactional=False)

    word = load_word(dump(run_virtual(drive)))
    assert isinstance(word, Outcome)
    return word


async def inner_timeout(request: Job) -> None:
    async with asyncio.timeout(0.1):
        await asyncio.get_running_loop().create_future()


async def no_answer(request: Job) -> None:
    raise OSError(errno.ETIMEDOUT, "the host gives no answer")


async def plain(request: Job) -> None:
    raise TimeoutError("no answer from the bank within 2 s")


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        (inner_timeout, "TimeoutError", "TimeoutError"),
        (no_answer, "TimeoutError", "[Errno 110] the host gives no answer"),
        (plain, "TimeoutError", "no answer from the bank within 2 s"),
    ],
)
def test_a_handlers_own_timeout_is_not_ours(handler: Callable[..., Any], kind: str, message: str) -> None:
    """rule_O2: it may have happened all the same."""
    outcome = outcome_of(handler)
    assert outcome.error is not None
    assert (outcome.kind, outcome.cause) == ("unknown", "error")
    assert (outcome.error["type"], outcome.error["code"], outcome.error["message"]) == (kind, "timeout", message)
    assert (outcome.error["retryable"], outcome.error["happened"]) == (True, None)


async def endless(request: Job) -> None:
    await asyncio.get_running_loop().create_future()


async def says_so(request: Job) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        raise TimeoutError("given up") from None


@pytest.mark.parametrize("handler", [endless, says_so])
def test_the_steps_timeout_is_told_as_such(handler: Callable[..., Any]) -> None:
    outcome = outcome_of(handler)
    assert outcome.error is not None
    assert (outcome.kind, outcome.cause) == ("unknown", "timed_out")
    assert (outcome.error["code"], outcome.error["message"]) == ("timed_out", "'call' took longer than 60 s")


@pytest.mark.parametrize(
    "retry_after", [-1, -0.5, math.nan, math.inf, 10**400, "soon"], ids=lambda value: str(value)[:9]
)
def test_a_delay_that_is_none_changes_nothing_about_a_proven_failure(retry_after: Any) -> None:
    """rule_O2: the handler knows that nothing happened, whatever it makes of the clock."""

    async def later(request: Job, context: Context) -> None:
        raise Recoverable("try later", retry_after=retry_after)

    outcome = outcome_of(later)
    assert outcome.error is not None
    assert (outcome.kind, outcome.retry_after, outcome.error["message"]) == ("failed", None, "try later")
    assert outcome.error["retryable"]


def test_a_delay_is_kept_within_its_bounds() -> None:
    async def later(request: Job) -> None:
        raise Recoverable("try later", retry_after=1e9)

    async def never(request: Job) -> None:
        raise Permanent("no")

    assert (outcome_of(later).retry_after, outcome_of(never).retry_after) == (86_400.0, None)

"""`given(…).when(…).then(…)` of what is begun too late, takes too long, or falls silent."""

import pytest
from pydantic import BaseModel

from amends import Context, Retry, Saga
from amends.testing import NotStarted, Unknown, events, given, later, outcome


class Job(BaseModel):
    pass


job = Saga("limits", input=Job)


@job.step("desk")
async def desk(request: Job) -> int:
    raise NotImplementedError


@desk.undo
async def leave(result: int | None) -> None: ...


@job.step("call", schedule_timeout=600, timeout=5, heartbeat_timeout=1, retry=Retry(delays=[2]), after=[desk])
async def call(context: Context) -> None: ...


@call.undo
async def hang_up(context: Context) -> None: ...


SEATED = outcome(desk, 1)


@pytest.mark.parametrize("answer", [NotStarted(), NotStarted])
def test_what_no_worker_begins_in_time_has_not_happened_and_the_rest_is_undone_at_once(answer: object) -> None:
    """rule_L5: schedule to start."""
    given(job, Job(), SEATED).when(outcome(call, answer)).then(
        events.StepFailed(
            step="call",
            error={"code": "not_started", "happened": False, "message": "no worker began 'call' within 10 minutes"},
        ),
        events.SagaTurnedBack(step="call", cause="failure"),
        events.UndoScheduled(step="desk", cause="turned_back"),
    )


def test_a_start_limit_is_part_of_it_where_some_of_its_time_has_passed() -> None:
    seated = given(job, Job(), SEATED)
    before = seated.now
    late = seated.when(later(599)).then()
    assert late.when(outcome(call, NotStarted())).kinds == ["StepFailed", "SagaTurnedBack", "UndoScheduled"]
    assert late.now - before == 600


def test_what_may_have_been_begun_in_time_goes_on_after_it() -> None:
    given(job, Job(), SEATED).when(later(700)).then().when(outcome(call)).then(
        events.StepSucceeded(step="call"), events.SagaCompleted()
    )


def test_nothing_but_a_step_with_a_start_limit_is_never_begun() -> None:
    with pytest.raises(AssertionError, match="'desk' has no schedule_timeout"):
        given(job, Job()).when(outcome(desk, NotStarted()))


def test_what_takes_too_long_or_falls_silent_is_unknown_and_tried_again_once_its_delay_is_over() -> None:
    """rule_O1: start to close, and heartbeat: of both a worker says that it gave the call up."""
    unknown = (
        given(job, Job(), SEATED)
        .when(outcome(call, Unknown()))
        .then(events.StepOutcomeUnknown(step="call", cause="timed_out", retry_in=2.0))
    )
    unknown.when(later(1)).then()
    unknown.when(later(1)).then(
        events.StepScheduled(step="call", cause="retry"),
        events.WaitOpened(step="call", kind="deadline", cause="schedule_timeout", due_in=600.0),
    )


def test_what_took_too_long_for_good_is_undone_once_no_attempt_can_be_running() -> None:
    """rule_B1: nobody knows whether it happened, so its own undo is called too."""
    back = (
        given(job, Job(), SEATED, outcome(call, Unknown()), later(2))
        .when(outcome(call, Unknown()))
        .then(
            events.StepOutcomeUnknown(step="call", cause="timed_out"),
            events.SagaTurnedBack(step="call", cause="unknown"),
            events.WaitOpened(step="call", kind="timer", cause="may_run"),
        )
    )
    assert back.when(later(60)).kinds == ["TimerFired", "UndoScheduled"]

"""Steps that are begun late, or fall silent: `schedule_timeout` and `heartbeat_timeout`, on virtual time."""

import asyncio
import gc
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Context, DefinitionError, Retry, Saga, hours
from amends.clock import LoopClock
from amends.testing import NotStarted, Run, Unknown, assert_undone_for_each_failure, run
from sagas import events as e


class Job(BaseModel):
    pass


def hasty() -> Saga[Job, None]:
    """Something that is undone, and a step that must begin within ten minutes."""
    saga = Saga("hasty", input=Job)

    @saga.step("desk")
    async def desk(request: Job) -> int:
        return 1

    @desk.undo
    async def leave(request: Job) -> None: ...

    @saga.step("call", schedule_timeout=600)
    async def call(request: Job, desk: int) -> None: ...

    return saga


def errors(done: Run[Any]) -> list[tuple[str, str]]:
    return [
        (event.error["type"], event.error["message"])
        for event in done.events
        if isinstance(event, e.StepFailed | e.StepOutcomeUnknown) and event.error is not None
    ]


def test_a_step_that_is_begun_in_time_goes_on_as_ever() -> None:
    done = run(hasty(), Job())
    assert (done.status, done.ran) == ("completed", ["desk", "call"])


@pytest.mark.parametrize("answer", [NotStarted(), NotStarted])
def test_a_step_that_nobody_begins_fails_and_what_was_done_is_undone_at_once(answer: object) -> None:
    """rule_L5: it is known that nothing happened, so nothing is waited for."""
    done = run(hasty(), Job(), answers={"call": answer})
    assert (done.status, done.undone) == ("compensated", ["desk"])
    assert errors(done) == [("ScheduleTimeout", "no worker began 'call' within 10 minutes")]
    assert timedelta(seconds=600) <= done.took < timedelta(seconds=603)


def test_each_failure_of_a_step_with_a_limit_is_tried() -> None:
    assert_undone_for_each_failure(hasty(), Job())


@pytest.mark.parametrize("place", ["desk", "desk:undo"])
def test_what_has_no_limit_cannot_be_left_unbegun(place: str) -> None:
    with pytest.raises(AssertionError, match=f"'{place}' has no schedule_timeout"):
        run(hasty(), Job(), answers={place: NotStarted()})


def scanning(beats: int, every: float, *, heartbeat: bool = True, retries: Sequence[float] = ()) -> Saga[Job, None]:
    """A step that gives so many signs of life."""
    saga = Saga("scanning", input=Job)

    @saga.step("scan", heartbeat_timeout=60, timeout=hours(8), retry=Retry(delays=list(retries)))
    async def scan(request: Job, context: Context) -> None:
        for number in range(beats):
            await LoopClock().sleep(every)
            await (context.heartbeat() if heartbeat else context.progress(number % 100))

    return saga


def test_a_handler_that_gives_signs_of_life_may_take_hours() -> None:
    done = run(scanning(300, 59.0), Job())
    assert (done.status, errors(done)) == ("completed", [])
    assert done.took.total_seconds() == pytest.approx(300 * 59, abs=1)
    assert len(done.events) < 10, "nothing is kept of a heartbeat"


def test_who_says_how_far_it_is_is_alive() -> None:
    done = run(scanning(20, 50.0, heartbeat=False), Job())
    assert (done.status, errors(done)) == ("completed", [])


class Listener:
    """Counts what a handler says of itself."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def progress(self, percent: int, message: str) -> None:
        self.heard.append((percent, message))

    def heartbeat(self) -> None:
        self.heard.append("beat")


async def test_a_sign_of_life_counts_once_whether_it_is_awaited_or_not() -> None:
    """A handler that is a plain `def`, in a thread, cannot await."""
    listener = Listener()
    context = Context(saga_id="s", step="a", attempt=1, idempotency_key="k", step_key="k", reporter=listener)
    context.heartbeat()
    context.progress(10, "begun")
    assert listener.heard == ["beat", (10, "begun")]
    await context.heartbeat()
    await context.progress(20)
    assert listener.heard[2:] == ["beat", (20, "")]
    gc.collect()  # what was never awaited would be complained of here


def test_a_plain_function_gives_signs_of_life() -> None:
    saga = Saga("plain", input=Job)

    @saga.step("scan", heartbeat_timeout=60, timeout=hours(8))
    def scan(request: Job, context: Context) -> None:
        context.heartbeat()
        context.progress(50)

    assert run(saga, Job()).status == "completed"


def test_a_silent_handler_is_cancelled_and_nobody_knows_what_it_did() -> None:
    """rule_O2."""
    saga = Saga("silent", input=Job)

    @saga.step("scan", heartbeat_timeout=60, timeout=hours(8), retry=Retry(delays=[]))
    async def scan(request: Job, context: Context) -> None:
        for _ in range(3):
            await LoopClock().sleep(40)
            await context.heartbeat()
        await asyncio.get_running_loop().create_future()

    done = run(saga, Job())
    (unknown,) = [entry for entry in done.history if isinstance(entry.event, e.StepOutcomeUnknown)]
    assert isinstance(unknown.event, e.StepOutcomeUnknown)
    assert unknown.event.cause == "timed_out"
    assert errors(done) == [("HeartbeatTimeout", "'scan' gave no heartbeat for 60 s")]
    assert unknown.at - done.history[0].at == pytest.approx(3 * 40 + 60, abs=1)


def test_a_handler_that_is_cancelled_for_its_silence_and_ends_all_the_same_has_succeeded() -> None:
    """rule_L3: what it says is true."""
    saga = Saga("stubborn", input=Job)

    @saga.step("scan", heartbeat_timeout=5, timeout=60)
    async def scan(request: Job, context: Context) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return

    assert run(saga, Job()).status == "completed"


def test_an_answer_that_is_unknown_falls_silent_and_another_attempt_starts_anew() -> None:
    done = run(scanning(1, 30.0, retries=[1]), Job(), answers={"scan": [Unknown(), None]})
    assert (done.status, errors(done)) == ("completed", [("HeartbeatTimeout", "'scan' gave no heartbeat for 60 s")])


def test_a_heartbeat_needs_a_context() -> None:
    saga = Saga("mute", input=Job)

    @saga.step("scan", heartbeat_timeout=5)
    async def scan(request: Job) -> None: ...

    with pytest.raises(DefinitionError, match=r"'scan' has a heartbeat_timeout, but takes no Context(?s:.*)remedy"):
        saga.check()

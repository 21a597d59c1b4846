"""When waits end, as the simulator sees it: by what events say, whatever the fold makes of them."""

from dataclasses import replace

import pytest
from pydantic import BaseModel

from amends import Context, Retry, Saga
from amends.testing.simulator.punctual import LONG, RULE, Punctual
from sagas import events as e
from sagas.events import Event, Recorded
from sagas.evolve import evolve
from sagas.state import State


class Order(BaseModel):
    id: int


saga = Saga("order", input=Order, deadline=60)


@saga.step("paid", retry=Retry(delays=[0.5, 2.0], jitter=0.5))
async def pay(order: Order, context: Context) -> int:
    return 1


@pay.undo(retry=Retry(delays=[4.0]))
async def pay_back(result: int | None) -> None: ...


saga.sleep("rested", 5, after=[pay])
MANIFEST = saga.seal().manifest
STARTED = e.SagaStarted(definition="order", fingerprint="f", deadline=60.0)
ERROR: e.Failure = {"type": "E", "code": "c"}
PAUSED = e.WaitOpened(step="rested", kind="timer", cause="sleep", due_in=5.0)
FIRED = e.TimerFired(step="rested", opened_by=2, kind="timer")


def broken(*events: tuple[float, Event], shown: float | None = None) -> list[str]:
    """The rules that these events break; the clock shows what they say, unless it is set back."""
    found: list[str] = []
    state, clock = State("s"), [0.0]
    punctual = Punctual(lambda: clock[0], lambda rule, where, detail: found.append(rule))
    for sequence, (at, event) in enumerate(((0.0, STARTED), *events), start=1):
        clock[0] = at if shown is None else shown
        recorded = Recorded(event, sequence, at, "")
        punctual.watch(MANIFEST, state, recorded)
        state = evolve(state, recorded)
    return found


def test_a_pause_is_over_at_its_time_and_not_before() -> None:
    assert broken((1.0, PAUSED), (6.0, FIRED)) == []
    assert broken((1.0, PAUSED), (5.9, FIRED)) == [RULE]


def test_a_hold_moves_by_as_much_as_the_wait_has_seen_of_it() -> None:
    held, released = e.SagaHeld(reason=""), e.SagaReleased(reason="")
    assert broken((1.0, PAUSED), (2.0, held), (4.0, released), (8.0, FIRED)) == []
    assert broken((1.0, PAUSED), (2.0, held), (4.0, released), (7.0, FIRED)) == [RULE]
    late = replace(FIRED, opened_by=3)
    assert broken((1.0, held), (2.0, PAUSED), (4.0, released), (9.0, late)) == []
    assert broken((1.0, held), (2.0, PAUSED), (4.0, released), (8.0, late)) == [RULE]


def test_an_instant_is_not_moved() -> None:
    until = replace(PAUSED, cause="sleep_until")
    held, released = e.SagaHeld(reason=""), e.SagaReleased(reason="")
    assert broken((1.0, until), (2.0, held), (4.0, released), (6.0, FIRED)) == []


def test_nobody_ends_a_wait_before_the_time_by_which_they_decide_also_once_the_clock_has_leapt() -> None:
    assert broken((1.0, PAUSED), (5.9, FIRED), shown=100.0) == [RULE]


def test_nobody_decides_by_a_time_that_the_clock_has_not_shown() -> None:
    assert broken((1.0, PAUSED), (6.0, FIRED), shown=5.0) == [RULE]


def failed(retry_in: float) -> Event:
    return e.StepFailed(step="paid", error=ERROR, retry_in=retry_in)


@pytest.mark.parametrize(
    ("events", "rules"),
    [
        ([failed(0.25), failed(1.0)], []),
        ([failed(9.0)], []),
        ([failed(0.2)], [LONG]),
        ([failed(0.25), failed(0.9)], [LONG]),
        ([e.StepOutcomeUnknown(step="paid", cause="error", retry_in=0.0)], [LONG]),
        ([e.WaitOpened(step="paid", kind="retry", cause="retry", due_in=0.0)], [LONG]),
        ([e.UndoFailed(step="paid", error=ERROR, retry_in=4.0)], []),
        ([e.UndoFailed(step="paid", error=ERROR, retry_in=0.0)], [LONG]),
    ],
)
def test_a_delay_is_no_shorter_than_the_policy_allows(events: list[Event], rules: list[str]) -> None:
    assert broken(*((1.0, event) for event in events)) == rules


def refused(again_in: float, reason: str = "no_handler") -> Event:
    return e.StepRefused(step="paid", reason=reason, again_in=again_in)


@pytest.mark.parametrize(
    ("events", "rules"),
    [
        ([refused(1.0), refused(0.0, "drained"), refused(2.0), refused(4.0)], []),
        ([refused(1.0), refused(1.0)], [LONG]),
        ([refused(0.0)], [LONG]),
        ([refused(1.0, "drained")], [LONG]),
    ],
)
def test_what_is_refused_is_offered_again_ever_more_seldom(events: list[Event], rules: list[str]) -> None:
    assert broken(*((1.0, event) for event in events)) == rules


@pytest.mark.parametrize("deadline", [None, 59.0])
def test_a_deadline_is_the_definition_s(deadline: float | None) -> None:
    found: list[str] = []
    punctual = Punctual(lambda: 0.0, lambda rule, where, detail: found.append(rule))
    punctual.watch(MANIFEST, State("s"), Recorded(replace(STARTED, deadline=deadline), 1, 0.0, ""))
    assert found == [LONG]

"""What each word of the language means, as decisions: given what happened, when this happens, then that follows."""

from typing import Any

import pytest

from amends import CannotTell, DidNotHappen, Happened, Permanent
from amends.testing import (
    Unknown,
    cancel,
    correct,
    given,
    hold,
    later,
    outcome,
    parent_turns_back,
    release,
    resolve,
    retry,
    send,
)
from amends.testing import events as e
from amends.testing.decisions import SagaSoFar
from orchestrator.arguments import plan_of
from orchestrator.waits import row_of
from sagas.manifest import Handler, Manifest, Node, Parameter
from tests.unit.test_decisions import BOUND_SECONDS, node
from tests.unit.test_family import child
from tests.unit.test_prove import of
from tests.unit.test_waiting import DAY, sleep, wait

NO = Permanent("no")
ITEMS = (("input.items", "each"),)
A, B = node("a"), node("b", after=("a",))


def probed(name: str, *rest: Any, **more: Any) -> Node:
    return node(name, *rest, probe=Handler("ask"), delays=(), **more)


def test_a_signal_ends_its_wait_and_what_leans_on_it_begins() -> None:
    given(of(wait(), node("a", after=("ok",)))).when(send("ok", True)).then(
        e.SignalReceived(name="ok", taken=True, value=True), e.StepScheduled(step="a")
    )


def test_a_signal_that_comes_early_is_kept_for_its_wait() -> None:
    early = given(of(A, wait(after=("a",)), node("b", after=("ok",)))).when(send("ok", True))
    kept = early.then(e.SignalReceived(name="ok", value=True))
    kept.when(outcome("a")).then(
        e.StepSucceeded(step="a"), e.WaitOpened(step="ok", kind="signal", due_in=DAY), e.StepScheduled(step="b")
    )


def test_of_several_signals_the_first_counts() -> None:
    sent = given(of(wait(), node("a", after=("ok",))), None, send("ok", 1))
    sent.when(send("ok", 2)).then(e.SignalReceived(name="ok", value=2))
    result = sent.state.step("ok").result
    assert result is not None
    assert result.inline == 1


@pytest.mark.parametrize(
    ("on_timeout", "follows"),
    [
        ("continue", (e.TimerFired(step="ok", opened_by=2, kind="signal"), e.StepScheduled(step="a"))),
        ("compensate", (e.StepFailed(step="ok", error={"code": "timed_out"}),
                        e.SagaTurnedBack(step="ok", cause="timeout"), e.SagaCompensated())),
    ],
)  # fmt: skip
def test_when_nobody_sends_the_wait_says_what_follows(on_timeout: str, follows: tuple[e.Event, ...]) -> None:
    given(of(wait(on_timeout=on_timeout), node("a", after=("ok",)))).when(later(DAY)).then(*follows)


def test_a_sleep_ends_with_its_length_and_not_before() -> None:
    sleeping = given(of(sleep(length=60.0), node("a", after=("pause",))))
    sleeping.when(later(59)).then().when(later(1)).then(
        e.TimerFired(step="pause", opened_by=2, kind="timer"), e.StepScheduled(step="a")
    )


def test_a_sleep_until_ends_at_its_instant() -> None:
    until = Node("until", "sleep_until", "sleep", moment="input.at")
    manifest = of(until, node("a", after=("until",)), paths=(("input.at", "moment"),))
    sleeping = given(manifest, {"at": "2026-01-01T00:01:00Z"})
    sleeping.when(later(59)).then().when(later(1)).then(
        e.TimerFired(step="until", opened_by=2, kind="timer"), e.StepScheduled(step="a")
    )
    passed = given(manifest, {"at": "2025-01-01T00:00:00Z"})
    passed.when(later(0)).then(e.TimerFired(step="until", opened_by=2, kind="timer"), e.StepScheduled(step="a"))


FAMILY = of(A, child("c", after=("a",)), node("b", after=("c",)))


def test_a_child_gives_its_result() -> None:
    given(FAMILY, None, outcome("a")).when(outcome("c", {"id": 1})).then(
        e.ChildEnded(step="c", attempt=1, child_id=given(FAMILY, None, outcome("a")).state.step("c").child or "",
                     status="completed", result={"id": 1}),
        e.StepScheduled(step="b"),
    )  # fmt: skip


def test_a_child_that_was_compensated_turns_its_parent_back() -> None:
    turned = given(FAMILY, None, outcome("a")).when(outcome("c", NO))
    assert turned.kinds == ["ChildEnded", "SagaTurnedBack", "UndoScheduled"]


def test_a_cancel_turns_the_child_back_first_and_its_parent_after() -> None:
    under_way = given(FAMILY, None, outcome("a"))
    back = under_way.when(cancel("enough")).then(
        e.CancelRequested(reason="enough"),
        e.SagaTurnedBack(cause="cancel", reason="enough"),
        e.UndoScheduled(step="c", attempt=2),
        e.WaitOpened(step="c", attempt=2, kind="child", cause="turned_back"),
    )
    back.when(outcome("c")).then(e.StepUndone(step="c"), e.UndoScheduled(step="a"))


def test_a_child_that_has_completed_is_compensated_with_its_parent() -> None:
    failed = given(FAMILY, None, outcome("a"), outcome("c")).when(outcome("b", NO))
    assert failed.kinds == ["StepFailed", "SagaTurnedBack", "UndoScheduled", "WaitOpened"]
    failed.saga.when(outcome("c")).then(e.StepUndone(step="c"), e.UndoScheduled(step="a"))


def test_a_child_turns_back_when_it_is_told_also_after_it_has_completed() -> None:
    for happened in ((), (outcome("b"),)):
        told = given(of(A, B), None, outcome("a"), *happened).when(parent_turns_back())
        assert told.kinds[0] == "SagaTurnedBack"
        assert told.saga.status == "compensating"


def each(**more: Any) -> Manifest:
    return of(node("a", each="input.items", **more), B, paths=ITEMS)


def test_concurrency_says_how_many_items_are_out_at_once() -> None:
    three = given(each(concurrency=2), {"items": [1, 2, 3]})
    assert [entry.event.item for entry in three.history if isinstance(entry.event, e.StepScheduled)] == [0, 1]
    three.when(outcome("a", item=0)).then(e.StepSucceeded(step="a", item=0), e.StepScheduled(step="a", item=2))


def test_an_item_that_fails_fails_the_step() -> None:
    two = given(each(item_failure="fail"), {"items": [1, 2]}, outcome("a", item=0))
    two.when(outcome("a", NO, item=1)).then(
        e.StepFailed(step="a", item=1, error={}),
        e.SagaTurnedBack(step="a", item=1, cause="failure"),
        e.UndoScheduled(step="a", item=0),
    )


def test_an_item_that_fails_may_be_left_out() -> None:
    two = given(each(item_failure="leave_out"), {"items": [1, 2]}, outcome("a", item=0))
    two.when(outcome("a", NO, item=1)).then(
        e.StepFailed(step="a", item=1, error={}),
        e.StepSkipped(step="a", item=1, why="left_out"),
        e.StepScheduled(step="b"),
    )


def asked(*nodes: Node) -> SagaSoFar:
    """A saga whose step `a` nobody knows about, and whose probe is out."""
    return given(of(*nodes), None, outcome("a", Unknown()), later(BOUND_SECONDS))


def test_a_probe_is_asked_once_nothing_may_run_any_more() -> None:
    unknown = given(of(probed("a"), B), None, outcome("a", Unknown()))
    unknown.when(later(BOUND_SECONDS - 0.1)).then().when(later(0.1)).then(
        e.ProbeScheduled(step="a", attempt=2, cause="retry")
    )


def test_what_a_probe_finds_is_the_steps_result() -> None:
    asked(probed("a"), B).when(outcome("a", Happened(7))).then(
        e.ProbeAnswered(step="a", answer="happened", result=7), e.StepScheduled(step="b")
    )


def test_what_did_not_happen_has_failed_for_good_when_no_retry_is_left() -> None:
    asked(probed("a"), B).when(outcome("a", DidNotHappen())).then(
        e.ProbeAnswered(step="a", answer="did_not_happen"), e.SagaTurnedBack(step="a", cause="failure"),
        e.SagaCompensated(),
    )  # fmt: skip


def test_a_probe_that_cannot_tell_is_asked_again() -> None:
    asked(probed("a"), B).when(outcome("a", CannotTell("down"))).then(
        e.StepOutcomeUnknown(step="a", role="probe", cause="error", error={"message": "down"}, retry_in=1.0)
    )


def test_a_deadline_turns_the_saga_back_and_behind_the_pivot_only_alarms() -> None:
    given(of(A, wait(after=("a",)), deadline=60.0), None, outcome("a")).when(later(60)).then(
        e.TimerFired(opened_by=1, kind="deadline"),
        e.SagaTurnedBack(cause="deadline", reason="the deadline has passed"),
        e.UndoScheduled(step="a"),
    )
    behind = of(node("p", "pivot"), node("r", "retriable", after=("p",)), deadline=60.0)
    given(behind, None, outcome("p")).when(later(60)).then(e.TimerFired(opened_by=1, kind="deadline"))


def test_given_tells_a_consumer_that_a_fallback_gave_the_value() -> None:
    fell = given(of(node("a", fallback=Handler("other")), B), None, outcome("a", NO))
    fell.when(outcome("a", 3)).then(
        e.FallbackUsed(step="a", attempt=2, result=3, reason="no"), e.StepScheduled(step="b")
    )
    plan = plan_of(fell.manifest, fell.state, B, None, Parameter("a", "node", "a", given=True))
    assert plan is not None
    assert plan.given == {"fallback": True, "reason": "no"}


def test_priority_and_queue_say_where_a_command_waits() -> None:
    started = given(of(node("a", priority="high", queue="mail"), node("b")))
    rows = [row_of(started.manifest, "s", wait, 4.0) for wait in started.state.waits.values()]
    assert [(row.step, row.queue, row.priority) for row in rows] == [("a", "mail", "high"), ("b", "default", "normal")]


def test_a_cancel_waits_for_a_pivot_in_flight_and_comes_too_late_when_it_succeeds() -> None:
    pivot = of(A, node("p", "pivot", after=("a",)), node("r", "retriable", after=("p",)))
    waiting = given(pivot, None, outcome("a")).when(cancel("stop")).then(e.CancelRequested(reason="stop"))
    waiting.when(outcome("p")).then(e.StepSucceeded(step="p"), e.StepScheduled(step="r"))
    waiting.when(cancel()).refused("there is no way back: the pivot 'p' has passed")
    failed = given(pivot, None, outcome("a"), cancel("stop")).when(outcome("p", NO))
    assert failed.kinds == ["StepFailed", "SagaTurnedBack", "UndoScheduled"]


def test_a_held_saga_records_and_begins_nothing_until_it_is_released() -> None:
    held = given(of(A, B)).when(hold("look")).then(e.SagaHeld(reason="look"))
    held.when(outcome("a")).then(e.StepSucceeded(step="a"))
    held.when(release("go")).then(e.SagaReleased(reason="go"), e.StepScheduled(step="b"))


def test_time_in_hold_burns_no_deadline() -> None:
    held = given(of(wait(), deadline=60.0), None, later(50), hold(), later(1000), release())
    held.when(later(9)).then()
    assert held.when(later(1)).kinds[:2] == ["TimerFired", "SagaTurnedBack"]


BEHIND = of(node("p", "pivot"), node("r", "retriable", after=("p",), delays=()))


def failed_behind_the_pivot() -> SagaSoFar:
    return given(BEHIND, None, outcome("p"), outcome("r", NO))


def test_retry_goes_on_from_the_failed_step() -> None:
    failed_behind_the_pivot().when(retry("r", reason="mended")).then(
        e.RetryRequested(step="r", reason="mended"), e.StepScheduled(step="r", attempt=2, cause="operator")
    )
    given(BEHIND).when(retry("r")).refused("'r' waits neither for an operator nor for its delay: it is pending")


def test_correct_replaces_a_result_and_keeps_the_original_in_its_event() -> None:
    done = given(of(A, B), None, outcome("a", 1))
    done.when(correct("a", 2, reason="typo")).then(e.ValueCorrected(step="a", value=2, reason="typo"))
    assert [entry.event.result for entry in done.history if isinstance(entry.event, e.StepSucceeded)] == [1]
    given(of(A, B)).when(correct("a", 2)).refused("'a' is scheduled: wait for its outcome")


def test_an_operator_says_that_a_step_happened() -> None:
    given(BEHIND, None, outcome("p", Unknown()), later(1), outcome("p", NO)).when(
        resolve("p", "happened", 7, reason="seen")
    ).then(e.StepResolved(step="p", outcome="happened", result=7, reason="seen"), e.StepScheduled(step="r"))


def test_an_operator_says_that_a_step_did_not_happen_once_nothing_may_run() -> None:
    unknown = given(of(node("p", "pivot", delays=())), None, outcome("p", Unknown()))
    unknown.when(resolve("p", "did_not_happen")).refused("an attempt of 'p' may still run until")
    unknown.when(later(BOUND_SECONDS + 1)).then().when(resolve("p", "did_not_happen", reason="no trace")).then(
        e.StepResolved(step="p", outcome="did_not_happen", reason="no trace"),
        e.RetryRequested(step="p", reason="no trace"),
        e.StepScheduled(step="p", cause="operator"),
    )


def test_an_operator_skips_a_step_behind_the_pivot_and_no_other() -> None:
    failed_behind_the_pivot().when(resolve("r", "skip", reason="by hand")).then(
        e.StepResolved(step="r", outcome="skip", reason="by hand"), e.SagaCompleted()
    )
    unknown = given(of(node("p", "pivot", delays=())), None, outcome("p", Unknown()), later(DAY))
    unknown.when(resolve("p", "skip")).refused("'p' stands before the pivot")


def at_rest() -> SagaSoFar:
    """A saga that rests failed: the undo of `a` gave up."""
    gave_up = [outcome("a", NO), later(1), outcome("a", NO), later(1), outcome("a", NO)]
    return given(of(A, B), None, outcome("a"), outcome("b", NO), *gave_up)


def test_an_operator_ends_an_undo_that_gave_up() -> None:
    assert at_rest().status == "failed"
    at_rest().when(resolve("a", "undone", reason="by hand")).then(
        e.StepResolved(step="a", outcome="undone", reason="by hand"),
        e.SagaReopened(step="a", cause="resolve"),
        e.SagaCompensated(),
    )
    at_rest().when(retry("a", reason="mended")).then(
        e.RetryRequested(step="a", role="undo", reason="mended"),
        e.SagaReopened(step="a", cause="retry"),
        e.UndoScheduled(step="a"),
    )


def test_an_operator_closes_what_rests_and_nothing_else() -> None:
    at_rest().when(resolve(None, "accept", reason="let it be")).then(
        e.StepResolved(outcome="accept", reason="let it be")
    )
    given(of(A)).when(resolve(None, "accept")).refused("the saga is active: only one that rests can be closed")

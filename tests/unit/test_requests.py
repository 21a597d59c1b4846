"""What operators ask of a saga that waits for them, and what they are refused (rules B4, O3)."""

from dataclasses import replace
from typing import Any

import pytest

from eventstore.rows import frees_key
from sagas.inputs import Answer, Cancel, Correct, Hold, Outcome, Release, Repair, Resolve, TryAgain
from sagas.manifest import Handler, Node
from tests.unit.test_decisions import BOUND_SECONDS, FAILED, SAGA, Play, node
from tests.unit.test_holding import ask

RETRYABLE = {**FAILED, "retryable": True}


def again(play: Play, step: str, **more: Any) -> Answer:
    return ask(play, TryAgain(SAGA, "it is mended", "t1", "op", step=step, **more))


def resolve(play: Play, outcome: Any, step: str | None = None, **more: Any) -> Answer:
    return ask(play, Resolve(SAGA, "I looked", "s1", "op", outcome=outcome, step=step, **more))


def behind_the_pivot(**more: Any) -> Play:
    """A saga whose last step failed for good behind its pivot."""
    play = Play(node("p", "pivot"), node("r", "retriable", after=("p",), delays=(1.0,), **more))
    play.tell("p")
    play.tell("r", "failed", error=RETRYABLE)
    play.pass_time(1.1)
    play.tell("r", "failed", error=RETRYABLE)
    assert play.find("r", "operator") is not None
    return play


def at_rest() -> Play:
    """A saga that rests failed: the undo of its first step gave up."""
    play = Play(node("a"), node("b", after=("a",)))
    play.tell("a")
    play.tell("b", "failed", error=FAILED)
    for _ in range(3):
        play.tell("a", "failed", error=RETRYABLE)
        play.pass_time(1.1)
    assert play.state.status == "failed"
    return play


def test_a_step_behind_the_pivot_is_tried_again_with_fresh_budgets() -> None:
    play = behind_the_pivot()
    assert again(play, "r").code == "accepted"
    assert play.find("r", "operator") is None
    assert play.command("r").attempt == 3
    play.tell("r", "failed", error=RETRYABLE)
    assert play.find("r", "retry") is not None, "the budget is fresh"
    play.pass_time(1.1)
    play.tell("r")
    assert play.state.status == "completed"


def test_what_waits_for_its_delay_can_be_tried_at_once() -> None:
    play = Play(node("a", delays=(30.0,)))
    play.tell("a", "failed", error=RETRYABLE)
    assert again(play, "a").code == "accepted"
    assert play.command("a").attempt == 2
    assert play.find("a", "retry") is None


def test_what_is_in_flight_or_done_or_unknown_is_not_tried_again() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    assert again(play, "a").detail == "'a' is scheduled: wait for its outcome"
    play.tell("a")
    assert again(play, "a").detail == "'a' waits neither for an operator nor for its delay: it is succeeded"
    assert again(play, "z").detail == "no step is called 'z'"
    assert again(play, "b", item=3).detail == "'b' has no items"


def test_an_undo_that_gave_up_is_tried_again_and_the_saga_goes_on() -> None:
    play = at_rest()
    assert again(play, "a").code == "accepted"
    assert play.command("a").kind == "undo"
    play.tell("a")
    assert play.state.status == "compensated"
    assert not play.state.waits


def test_an_undo_that_somebody_did_by_hand_ends_the_saga() -> None:
    play = at_rest()
    assert resolve(play, "undone", "a").code == "accepted"
    assert play.state.step("a").status == "undone"
    assert play.state.status == "compensated"


def test_a_saga_at_rest_can_be_closed_and_frees_its_key() -> None:
    play = at_rest()
    assert resolve(play, "accept").code == "accepted"
    assert play.state.closed
    assert not play.state.waits
    assert frees_key(play.state)
    assert resolve(play, "accept").code == "nothing"
    assert again(play, "a").code == "refused"


def test_only_a_saga_at_rest_can_be_closed() -> None:
    play = Play(node("a"))
    assert resolve(play, "accept").detail == "the saga is active: only one that rests can be closed"
    assert resolve(play, "accept", "a").code == "refused"


def unknown_pivot(*, transactional: bool = False) -> Play:
    play = Play(node("a"), node("p", "pivot", after=("a",), delays=(), transactional=transactional))
    play.tell("a")
    play.tell("p", "unknown", cause="timed_out")
    return play


def test_an_unknown_pivot_that_happened_lets_the_saga_go_on() -> None:
    play = unknown_pivot()
    assert resolve(play, "happened", "p", value={"id": 1}).code == "accepted"
    assert play.state.status == "completed"
    result = play.state.step("p").result
    assert result is not None
    assert result.inline == {"id": 1}


def test_a_pivot_is_said_not_to_have_happened_only_when_nothing_of_it_may_still_run() -> None:
    """rule_O3: an attempt's request may land within its timeout and a lease."""
    play = unknown_pivot()
    told = resolve(play, "did_not_happen", "p")
    assert (told.code, told.detail) == ("refused", "an attempt of 'p' may still run until 1970-01-01T00:16:54+00:00")
    play.pass_time(BOUND_SECONDS + 0.1)
    assert resolve(play, "did_not_happen", "p").code == "accepted"
    assert (play.command("p").kind, play.command("p").attempt) == ("step", 2)
    play.tell("p")
    assert play.state.status == "completed"


def unknown_though_asked(**more: Any) -> Play:
    """A pivot of which its probe cannot tell either; nothing of it is running any more."""
    play = Play(node("a"), node("p", "pivot", after=("a",), delays=(1.0,), probe=Handler("ask"), **more))
    play.tell("a")
    play.tell("p", "unknown", cause="timed_out")
    play.pass_time(BOUND_SECONDS + 0.1)
    while play.find("p", "operator") is None:
        play.tell("p", "unknown", cause="error", error=RETRYABLE)
        play.pass_time(301)
    return play


def test_a_pivot_that_did_not_happen_is_tried_again_though_its_probe_could_not_tell() -> None:
    play = unknown_though_asked()
    before = play.state.step("p").attempt
    assert resolve(play, "did_not_happen", "p").code == "accepted"
    assert (play.command("p").kind, play.command("p").attempt) == ("step", before + 1)
    play.tell("p", "failed", error=RETRYABLE)
    assert play.find("p", "retry") is not None, "the budget is fresh"
    play.pass_time(1.1)
    play.tell("p")
    assert play.state.status == "completed"


def test_a_pivot_that_did_not_happen_is_tried_again_once_a_held_saga_is_released() -> None:
    play = unknown_though_asked()
    ask(play, Hold(SAGA, "look", "h1"))
    assert resolve(play, "did_not_happen", "p").code == "accepted"
    assert play.find("p", "step") is None
    ask(play, Release(SAGA, "go", "r1"))
    play.pass_time(0)
    assert play.command("p").kind == "step"


def test_a_pivot_that_did_not_happen_turns_back_when_the_saga_is_not_wanted_any_more() -> None:
    """rule_B2: a cancel has waited for it."""
    play = unknown_though_asked()
    ask(play, Cancel(SAGA, "stop", "c1"))
    assert resolve(play, "did_not_happen", "p").code == "accepted"
    assert (play.state.status, play.state.back_cause, play.command("a").kind) == ("compensating", "cancel", "undo")


def test_a_pivot_that_did_not_happen_and_would_fail_again_turns_back() -> None:
    play = Play(node("a"), node("p", "pivot", after=("a",)))
    play.tell("a")
    play.tell("p", "unknown", cause="error", error=FAILED)
    play.pass_time(BOUND_SECONDS + 0.1)
    assert resolve(play, "did_not_happen", "p").code == "accepted"
    assert play.command("a").kind == "undo"


def test_a_pivot_that_did_not_happen_falls_back_where_it_can() -> None:
    """def_R18."""
    play = unknown_though_asked(fallback=Handler("other"))
    assert resolve(play, "did_not_happen", "p").code == "accepted"
    assert play.command("p").kind == "fallback"


def test_a_step_behind_the_pivot_may_be_skipped_but_none_before_it() -> None:
    play = behind_the_pivot()
    assert resolve(play, "skip", "r").code == "accepted"
    assert play.state.step("r").status == "skipped"
    assert play.state.status == "completed"
    unknown = unknown_pivot()
    unknown.pass_time(BOUND_SECONDS + 0.1)
    assert "stands before the pivot" in (resolve(unknown, "skip", "p").detail or "")


def test_a_step_that_has_a_fallback_tries_it_when_nothing_happened() -> None:
    play = Play(node("p", "pivot"), node("r", "retriable", after=("p",), delays=(), fallback=Handler("other")))
    play.tell("p")
    play.tell("r", "unknown", cause="timed_out")
    play.pass_time(BOUND_SECONDS + 0.1)
    assert resolve(play, "did_not_happen", "r").code == "accepted"
    assert play.command("r").kind == "fallback"


def test_a_result_that_was_wrong_is_replaced_for_all_that_comes_after() -> None:
    paths = (("a.yes", "when"),)
    play = Play(node("a"), node("b", after=("a",)), node("c", after=("b",), when="a.yes"), paths=paths)
    told = ask(play, Correct(SAGA, "typo", "k1", step="a", value={"yes": True}))
    assert told.detail == "'a' is scheduled: wait for its outcome"
    play.tell("a", result={"yes": False})
    assert ask(play, Correct(SAGA, "typo", "k2", step="a", value={"yes": True})).code == "accepted"
    play.tell("b")
    assert play.find("c", "step") is not None


def test_the_number_of_items_that_have_begun_cannot_be_corrected() -> None:
    each: Node = node("a", each="input.items")
    play = Play(each, value={"items": [1, 2]}, paths=(("input.items", "each"),))
    told = ask(play, Correct(SAGA, "one more", "k1", value={"items": [1, 2, 3]}))
    assert told.detail == "'a' has begun with 2 items: their number must stay"
    assert ask(play, Correct(SAGA, "others", "k2", value={"items": [7, 8]})).code == "accepted"


def test_a_late_effect_after_the_end_is_undone_when_an_operator_says_so() -> None:
    """rule_O4."""
    play = Play(node("a"), node("b", after=("a",)))
    first = play.command("a")
    play.tell("a", "unknown", cause="worker_lost")
    play.tell("a")
    play.tell("b", "failed", error=FAILED)
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("a")
    assert play.state.status == "compensated"
    play.tell("a", wait=first)
    assert [wait.cause for wait in play.state.waits.values()] == ["late_effect"]
    assert again(play, "a").code == "accepted"
    assert play.command("a").kind == "undo"
    play.tell("a")
    assert play.state.status == "compensated"
    assert not play.state.waits


@pytest.mark.parametrize("outcome", ["happened", "did_not_happen", "skip", "undone"])
def test_a_step_that_nobody_asks_about_is_not_resolved(outcome: str) -> None:
    play = Play(node("a"), node("b", after=("a",)))
    play.tell("a")
    assert resolve(play, outcome, "a").code == "refused"


def left_out_and_late(*after: Node) -> Play:
    """An item that was left out, and then had an effect all the same; the saga is where `after` lets it be."""
    each = node("a", each="input.items", delays=(), item_failure="leave_out")
    play = Play(each, *after, value={"items": [1]}, paths=(("input.items", "each"),))
    wait = play.state.wait_of("a", 0, "step")
    assert wait is not None
    about = Outcome(SAGA, wait.opened_by, wait.attempt, "a", 0, "step", "failed", error=FAILED)
    play.give(about)
    play.give(replace(about, kind="succeeded", error=None, result=1, cause=None))
    assert play.state.wait_of("a", 0, "operator") is not None
    return play


@pytest.mark.parametrize("after", [(), (node("b", after=("a",)),)], ids=["completed", "active"])
def test_a_late_effect_of_what_was_left_out_is_undone_by_hand(after: tuple[Node, ...]) -> None:
    """rule_O4: an undo of its own would turn back what goes on, or has completed."""
    play = left_out_and_late(*after)
    told = again(play, "a", item=0)
    assert (told.code, "by hand" in (told.detail or "")) == ("refused", True)
    assert resolve(play, "undone", "a", item=0).code == "accepted"
    assert play.state.step("a", 0).status == "skipped"
    if after:
        play.tell("b")
    assert play.state.status == "completed"
    assert not play.state.waits


def test_an_input_is_not_corrected_for_steps_that_others_have_left_behind() -> None:
    paths = (("input.items", "each"),)
    play = Play(
        node("k"), node("a", each="input.items", after=("k",)), node("p", "pivot", after=("a",)),
        node("c", "retriable", after=("p",)), value={"items": []}, paths=paths,
    )  # fmt: skip
    play.tell("k")
    play.tell("p")
    told = ask(play, Correct(SAGA, "one more", "k1", value={"items": [1]}))
    assert told.detail == "'a' has begun with 0 items: their number must stay"


def test_a_fallback_that_did_not_happen_is_not_tried_again() -> None:
    """def_R18."""
    play = Play(
        node("p", "pivot"),
        node("r", "retriable", after=("p",), delays=(), fallback=Handler("other"), probe=Handler("ask")),
    )
    play.tell("p")
    play.tell("r", "failed", error=FAILED)
    play.tell("r", "unknown", cause="timed_out")
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("r", closed=True)
    desk = play.find("r", "operator")
    assert desk is not None
    assert desk.cause == "step_failed"


def test_a_deadline_that_has_passed_takes_no_retry_from_a_probed_step_behind_the_pivot() -> None:
    """def_R11: there it only alarms."""
    play = Play(node("p", "pivot"), node("r", "retriable", after=("p",), probe=Handler("ask")), deadline=5.0)
    play.tell("p")
    play.pass_time(6)
    play.tell("r", "unknown", cause="timed_out")
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("r", closed=True)
    assert play.find("r", "retry") is not None
    assert play.find("r", "operator") is None


def test_a_transaction_step_behind_the_pivot_that_did_not_happen_is_skipped_when_its_key_is_closed() -> None:
    """rule_O3, rule_T2: asked once; as long as the key is open an attempt may commit."""
    for outcome in ("skip", "did_not_happen"):
        play = behind_the_pivot(transactional=True)
        assert resolve(play, outcome, "r").code == "accepted"
        assert play.command("r").kind == "probe"
        play.tell("r", closed=True)
        assert play.state.step("r").status == "skipped"
        assert play.state.status == "completed"


def test_what_was_said_of_a_transaction_step_holds_though_its_key_is_asked_for_again() -> None:
    """rule_T2: its key is closed for that, and no attempt of it could commit any more."""
    play = behind_the_pivot(transactional=True)
    ask(play, Hold(SAGA, "look", "h1"))
    assert resolve(play, "skip", "r").code == "accepted"
    assert again(play, "r").code == "accepted"
    ask(play, Release(SAGA, "go", "r1"))
    play.pass_time(0.1)
    assert play.command("r").kind == "probe"
    play.tell("r", closed=True)
    assert play.state.step("r").status == "skipped"
    assert play.state.status == "completed"


def test_a_transaction_step_that_happened_after_all_is_not_skipped() -> None:
    play = behind_the_pivot(transactional=True)
    resolve(play, "skip", "r")
    play.tell("r", happened=True, result=3)
    assert play.state.step("r").status == "succeeded"


def used_up(play: Play, step: str) -> None:
    for _ in range(4):
        play.now += 60
        play.give(Repair(SAGA, play.command(step).opened_by, "wait overdue"))


def test_what_no_repair_could_end_is_taken_for_lost_and_keeps_its_role() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    play.tell("a")
    play.tell("b", "failed", error=FAILED)
    used_up(play, "a")
    assert again(play, "a").code == "accepted"
    assert play.command("a").kind == "undo"
    forward = Play(node("x"))
    used_up(forward, "x")
    assert again(forward, "x").code == "accepted"
    assert (forward.command("x").kind, forward.state.step("x").maybe) == ("step", True)


def test_a_desk_about_a_wait_goes_with_the_wait() -> None:
    play = Play(node("a"), deadline=5.0)
    for _ in range(3):
        play.now += 30
        play.give(Repair(SAGA, play.command("a").opened_by, "wait overdue"))
    (deadline,) = [wait for wait in play.state.waits.values() if wait.kind == "deadline"]
    play.give(Repair(SAGA, deadline.opened_by, "wait overdue"))
    assert [wait.kind for wait in play.state.waits.values() if wait.kind == "operator"] == ["operator"]
    play.pass_time(1)
    assert not [wait for wait in play.state.waits.values() if wait.kind == "operator"]


def test_a_held_saga_is_not_closed() -> None:
    play = at_rest()
    ask(play, Hold(SAGA, "look", "h1"))
    assert resolve(play, "accept").detail == "the saga is held: release it first"

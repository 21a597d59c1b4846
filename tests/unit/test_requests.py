"""What operators ask of a saga that waits for them, and what they are refused (rules B4, O3)."""

from typing import Any

import pytest

from eventstore.rows import frees_key
from sagas.inputs import Answer, Correct, Resolve, TryAgain
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
    assert play.command("a").kind == "undo"


def test_of_a_transaction_step_its_own_key_is_asked_first() -> None:
    """rule_T2: as long as the key is open an attempt may commit."""
    play = behind_the_pivot(transactional=True)
    assert resolve(play, "skip", "r").code == "accepted"
    assert play.command("r").kind == "probe"
    play.tell("r", closed=True)
    assert play.find("r", "operator") is not None
    assert resolve(play, "skip", "r").code == "accepted"
    assert play.state.status == "completed"


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

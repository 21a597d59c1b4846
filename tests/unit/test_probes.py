"""Who can say whether a step happened is asked before it is tried again, given up or undone (rule_O3, def_R25)."""

from typing import Any

from sagas.inputs import Cancel, Outcome
from sagas.manifest import Handler, Node
from tests.unit.test_decisions import BOUND_SECONDS, FAILED, SAGA, Play, node

RETRYABLE = {**FAILED, "retryable": True}


def probed(name: str = "a", *given: Any, **more: Any) -> Node:
    return node(name, *given, probe=Handler("ask"), **more)


def test_an_unknown_attempt_is_asked_about_once_nothing_of_it_may_still_run() -> None:
    play = Play(probed())
    play.tell("a", "unknown", cause="timed_out")
    play.pass_time(BOUND_SECONDS - 1)
    assert play.find("a", "probe") is None
    play.pass_time(1.1)
    assert play.command("a").kind == "probe"


def test_a_step_that_happened_gives_what_the_probe_found() -> None:
    play = Play(probed())
    play.tell("a", "unknown", cause="worker_lost")
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("a", result={"id": 7}, happened=True)
    assert play.state.status == "completed"
    result = play.state.step("a").result
    assert result is not None
    assert result.inline == {"id": 7}


def test_a_step_that_did_not_happen_is_tried_again_within_its_budget() -> None:
    play = Play(probed(delays=(1.0,)))
    for attempt in (1, 3):
        assert play.command("a").attempt == attempt
        play.tell("a", "unknown", cause="timed_out")
        play.pass_time(BOUND_SECONDS + 0.1)
        play.tell("a", closed=True)
        play.pass_time(1.1)
    assert play.state.status == "compensated", "one retry was allowed"


def test_a_step_that_did_not_happen_and_has_lost_three_workers_is_poison_whatever_its_budget() -> None:
    """Rule L2: found by seed 7 of scripts in which no peace cures a handler that kills its worker."""
    play = Play(probed(delays=(1.0,) * 5))
    for attempt in (1, 3, 5):
        assert play.command("a").attempt == attempt
        play.tell("a", "unknown", cause="worker_lost")
        play.pass_time(BOUND_SECONDS + 0.1)
        play.tell("a", closed=True)
        play.pass_time(1.1)
    assert play.state.status == "compensated"


def test_before_the_pivot_a_probe_that_cannot_tell_is_asked_again_and_then_the_saga_turns_back() -> None:
    play = Play(probed(), node("b", after=("a",)))
    play.tell("a", "unknown", cause="timed_out")
    play.pass_time(BOUND_SECONDS + 0.1)
    for _ in range(6):
        play.tell("a", "unknown", cause="error", error=RETRYABLE)
        play.pass_time(301)
    assert play.command("a").kind == "undo"


def test_behind_the_pivot_a_probe_that_cannot_tell_leaves_it_to_an_operator() -> None:
    play = Play(node("p", "pivot"), probed("r", "retriable", after=("p",)))
    play.tell("p")
    play.tell("r", "unknown", cause="timed_out")
    play.pass_time(BOUND_SECONDS + 0.1)
    for _ in range(6):
        play.tell("r", "unknown", cause="error", error=RETRYABLE)
        play.pass_time(301)
    desk = play.find("r", "operator")
    assert desk is not None
    assert desk.cause == "outcome_unknown"


def test_a_step_that_nobody_knows_of_is_asked_about_before_it_is_undone() -> None:
    """def_R25: so its undo may take the result that only the probe can find."""
    play = Play(probed(), node("b"))
    play.tell("a", "unknown", cause="timed_out")
    play.tell("b", "failed", error=FAILED)
    assert play.state.status == "compensating"
    play.pass_time(BOUND_SECONDS + 0.1)
    assert play.command("a").kind == "probe"
    play.tell("a", result={"id": 7}, happened=True)
    assert play.command("a").kind == "undo"


def test_a_step_that_did_not_happen_is_not_undone() -> None:
    play = Play(probed(), node("b"))
    play.tell("a", "unknown", cause="timed_out")
    play.tell("b", "failed", error=FAILED)
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("a", closed=True)
    assert play.state.status == "compensated"
    assert "UndoScheduled" not in {type(entry.event).__name__ for entry in play.history if entry.event.step == "a"}


def test_an_unknown_pivot_that_did_not_happen_turns_the_saga_back() -> None:
    play = Play(node("a"), probed("p", "pivot", after=("a",), delays=()))
    play.tell("a")
    play.tell("p", "unknown", cause="timed_out")
    play.give(Cancel(SAGA, "stop", "c1"))
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("p", closed=True)
    assert play.command("a").kind == "undo"


def test_an_answer_that_a_late_word_has_overtaken_is_asked_for_again() -> None:
    """rule_O3: it holds only if it was asked after the end of every attempt that may have happened."""
    play = Play(probed())
    first = play.command("a")
    play.tell("a", "unknown", cause="worker_lost")
    play.pass_time(BOUND_SECONDS + 0.1)
    probe = play.command("a")
    play.now += 1
    play.tell("a", "unknown", wait=first, cause="cancelled")
    play.tell("a", wait=probe, closed=True)
    assert play.find("a", "probe") is None
    assert play.find("a", "step") is None
    play.pass_time(BOUND_SECONDS + 0.1)
    assert play.command("a").kind == "probe"


def test_an_item_that_is_asked_about_keeps_its_place_among_those_that_may_run_at_once() -> None:
    """def_R16: its next attempt would be one too many."""
    play = Play(probed(each="input.items", concurrency=1), value={"items": [0, 1]}, paths=(("input.items", "each"),))
    first = play.state.wait_of("a", 0, "step")
    assert first is not None
    play.give(Outcome(SAGA, first.opened_by, 1, "a", 0, "step", "unknown", cause="timed_out"))
    assert play.state.wait_of("a", 1, "step") is None
    play.pass_time(BOUND_SECONDS + 0.1)
    asked = play.state.wait_of("a", 0, "probe")
    assert asked is not None
    play.give(Outcome(SAGA, asked.opened_by, asked.attempt, "a", 0, "probe", "succeeded", result=7, happened=True))
    assert play.state.wait_of("a", 1, "step") is not None

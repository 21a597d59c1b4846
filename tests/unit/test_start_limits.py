"""A step that nobody begins within its `schedule_timeout` fails, and nothing of it has happened (rule L5)."""

from typing import Any

from sagas import events as e
from sagas.inputs import Cancel, Due, Hold, Release, Repair, Started
from sagas.manifest import Handler
from sagas.state import Wait
from tests.unit.test_decisions import FAILED, SAGA, Play, node

LIMIT_SECONDS = 30.0


def limited(**more: Any) -> Play:
    """A step that is done, and one that must begin within 30 s."""
    play = Play(node("a"), node("b", after=("a",), schedule_timeout=LIMIT_SECONDS, **more))
    play.tell("a")
    return play


def limit_of(play: Play, step: str = "b") -> Wait | None:
    return play.find(step, "deadline")


def withdraw(play: Play, verdict: Any = "withdrawn") -> None:
    """The time is over, and the command was taken back unread."""
    limit = limit_of(play)
    assert limit is not None
    assert limit.due_at is not None
    play.now = max(play.now, limit.due_at)
    play.give(Due(SAGA, limit.opened_by, verdict))


def failures(play: Play) -> list[e.StepFailed]:
    return [entry.event for entry in play.history if isinstance(entry.event, e.StepFailed)]


def test_a_command_that_was_taken_back_unread_is_a_proven_failure_and_is_not_tried_again() -> None:
    play = limited(delays=(1.0, 5.0))
    withdraw(play)
    (failure,) = failures(play)
    assert failure.error["code"] == "not_started"
    assert failure.error["message"] == "no worker began 'b' within 30 s"
    assert (failure.error["happened"], failure.retry_in) == (False, None)
    assert play.state.step("b").status == "failed"
    assert play.state.status == "compensating"
    play.tell("a")
    assert (play.state.status, dict(play.state.waits)) == ("compensated", {})


def test_without_a_proof_the_end_of_the_time_changes_nothing() -> None:
    play = limited()
    withdraw(play, "fire")
    assert failures(play) == []
    assert play.command("b").attempt == 1
    assert limit_of(play) is not None


def test_who_begins_a_step_ends_its_limit() -> None:
    play = limited()
    wait = play.command("b")
    play.give(Started(SAGA, wait.opened_by, 1, "b", None, 1.0))
    assert limit_of(play) is None
    play.tell("b")
    assert play.state.status == "completed"


def test_an_outcome_ends_the_limit_and_the_next_attempt_has_one_of_its_own() -> None:
    play = limited()
    first = limit_of(play)
    assert first is not None
    play.tell("b", "failed", error={**FAILED, "retryable": True})
    assert limit_of(play) is None
    play.pass_time(1)
    again = limit_of(play)
    assert again is not None
    assert again.due_at == play.now + LIMIT_SECONDS
    play.give(Due(SAGA, first.opened_by, "withdrawn"))
    assert play.command("b").attempt == 2
    play.tell("b", "unknown", cause="lost")
    assert limit_of(play) is not None


def test_an_attempt_that_may_have_happened_before_is_undone_all_the_same() -> None:
    """rule_O2: a later proven failure does not clear it."""
    play = limited()
    play.tell("b", "unknown", cause="lost")
    withdraw(play)
    assert play.command("b").role == "undo"


def test_refusals_begin_nothing_so_the_limit_goes_on() -> None:
    """rule_C7: a queue whose workers lack the handler keeps nobody waiting for ever."""
    play = limited()
    limit = limit_of(play)
    play.tell("b", "refused", cause="no_handler")
    play.pass_time(1)
    assert play.command("b").attempt == 2
    assert limit_of(play) == limit
    play.tell("b", "refused", cause="no_handler")
    withdraw(play, "fire")
    assert failures(play)[0].error["code"] == "not_started"
    assert play.state.status == "compensating"
    assert play.find("b", "retry") is None


def test_a_drained_worker_hands_the_limit_on() -> None:
    play = limited()
    limit = limit_of(play)
    play.tell("b", "refused", cause="drained")
    assert play.command("b").attempt == 2
    assert limit_of(play) == limit


def test_before_its_time_nothing_is_judged() -> None:
    play = limited()
    limit = limit_of(play)
    assert limit is not None
    play.give(Due(SAGA, limit.opened_by, "withdrawn"))
    assert failures(play) == []


def test_time_in_hold_does_not_count() -> None:
    """rule_B7."""
    play = limited()
    before = limit_of(play)
    play.give(Hold(SAGA, "look", "h"))
    play.pass_time(100)
    play.give(Release(SAGA, "go", "r"))
    after = limit_of(play)
    assert before is not None
    assert after is not None
    assert before.due_at is not None
    assert after.due_at == before.due_at + 100


def test_a_saga_that_turns_back_does_not_wait_for_a_step_that_nobody_begins() -> None:
    """rule_B1: what is out is awaited, but no longer than its limit."""
    play = limited()
    play.give(Cancel(SAGA, "stop", "c"))
    assert (play.state.status, limit_of(play) is not None) == ("compensating", True)
    withdraw(play)
    play.tell("a")
    assert play.state.status == "compensated"


def test_a_saga_that_turns_back_keeps_no_limit_of_a_step_that_is_not_out() -> None:
    play = limited()
    play.tell("b", "refused", cause="no_handler")
    play.give(Cancel(SAGA, "stop", "c"))
    assert limit_of(play) is None
    play.tell("a")
    assert (play.state.status, dict(play.state.waits)) == ("compensated", {})


def test_a_fallback_runs_instead_without_a_limit_and_behind_the_pivot_an_operator_is_asked() -> None:
    play = limited(fallback=Handler("other"))
    withdraw(play)
    assert play.command("b").role == "fallback"
    assert limit_of(play) is None
    play = Play(node("p", "pivot"), node("b", "retriable", after=("p",), schedule_timeout=LIMIT_SECONDS))
    play.tell("p")
    withdraw(play)
    assert play.find("b", "operator") is not None


def test_a_pivot_that_nobody_begins_turns_back_when_a_cancel_waits_for_it() -> None:
    """rule_B2."""
    play = Play(node("a"), node("b", "pivot", after=("a",), schedule_timeout=LIMIT_SECONDS))
    play.tell("a")
    play.give(Cancel(SAGA, "stop", "c"))
    assert play.state.status == "active"
    withdraw(play)
    assert (play.state.status, play.state.back_cause) == ("compensating", "cancel")


def test_each_item_has_a_limit_of_its_own() -> None:
    play = Play(
        node("b", each="input.items", item_failure="leave_out", schedule_timeout=LIMIT_SECONDS),
        value={"items": [1, 2]}, paths=(("input.items", "each"),),
    )  # fmt: skip
    (first, second) = [wait for wait in play.state.waits.values() if wait.kind == "deadline"]
    play.now += LIMIT_SECONDS
    play.give(Due(SAGA, first.opened_by, "withdrawn"))
    assert [play.state.step("b", item).status for item in (0, 1)] == ["skipped", "scheduled"]
    assert second.opened_by in play.state.waits


def test_a_reconciler_leaves_a_limit_to_the_check_of_its_command() -> None:
    """rule_K2: it could not take the command back."""
    play = limited()
    limit = limit_of(play)
    assert limit is not None
    play.now += LIMIT_SECONDS + 60
    for _ in range(5):
        play.give(Repair(SAGA, limit.opened_by, "overdue"))
    assert (play.state.repairs, play.find("b", "operator")) == ({}, None)


def test_what_was_taken_back_unread_is_recorded_also_while_the_saga_is_held() -> None:
    """rule_B7: its command is gone, and nothing follows before the release."""
    play = limited(fallback=Handler("other"))
    limit = limit_of(play)
    assert limit is not None
    play.now += LIMIT_SECONDS
    play.give(Hold(SAGA, "look", "h"))
    play.give(Due(SAGA, limit.opened_by, "withdrawn"))
    assert failures(play)[0].error["code"] == "not_started"
    assert play.find("b", "step", "fallback", "deadline") is None
    play.give(Release(SAGA, "go", "r"))
    play.pass_time(0)
    assert play.command("b").role == "fallback"


def test_what_was_taken_back_of_a_held_saga_turns_it_back_at_the_release() -> None:
    play = limited()
    limit = limit_of(play)
    assert limit is not None
    play.now += LIMIT_SECONDS
    play.give(Hold(SAGA, "look", "h"))
    play.give(Due(SAGA, limit.opened_by, "withdrawn"))
    assert (play.state.status, play.find("a", "undo")) == ("compensating", None)
    play.give(Release(SAGA, "go", "r"))
    assert play.command("a").role == "undo"

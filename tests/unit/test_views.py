"""What people read of a saga: what it waits for, in words, and what state its job has."""

import asyncio
from dataclasses import replace

import pytest

from amends import views
from sagas.inputs import Repair
from tests.shown import explained, view_of
from tests.unit.test_decisions import FAILED, SAGA, Play, node


def said(play: Play) -> str:
    return explained(play.manifest, play.state, play.history)


def test_used_up_repairs_of_a_step_and_of_a_deadline_are_named() -> None:
    play = Play(node("a"), deadline=30.0)
    for number in range(10):
        for wait in [wait for wait in play.state.waits.values() if wait.kind == "step"]:
            play.give(Repair(SAGA, wait.opened_by, "waits_unpublished", f"r{number}"))
    assert "step a got stuck again and again, and the repairs are used up" in said(play)

    play = Play(node("a"), deadline=30.0)
    (deadline,) = [wait for wait in play.state.waits.values() if wait.kind == "deadline"]
    play.state = replace(play.state, repairs={"waits_overdue": 99})
    play.now += 100
    play.give(Repair(SAGA, deadline.opened_by, "waits_overdue", "r"))
    assert "the saga's deadline got stuck again and again, and the repairs are used up" in said(play)


def test_a_step_behind_the_pivot_of_which_nobody_knows_is_named() -> None:
    play = Play(node("p", "pivot"), node("b", "retriable", after=("p",), delays=()))
    play.tell("p")
    play.tell("b", "unknown", cause="error", error={**FAILED, "happened": None})
    assert "nobody knows whether step b happened" in said(play)


def test_an_undo_that_gave_up_is_named() -> None:
    play = Play(node("a"), node("b", after=("a",), delays=()))
    play.tell("a")
    play.tell("b", "failed", error=FAILED)
    while play.find("a", "operator") is None:
        if play.find("a", "undo") is not None:
            play.tell("a", "failed", error=FAILED)
        play.pass_time(400)
    assert "the undo of step a gave up: what a did is still there" in said(play)


@pytest.mark.parametrize(("held", "status"), [(False, "pending"), (True, "active")])
def test_a_held_job_is_active(held: bool, status: str) -> None:
    """req_X6."""
    play = Play(node("a"))
    view = asyncio.run(view_of(play.manifest, replace(play.state, held=held), play.history))
    assert views.job(view)["status"] == status


def test_rule_c7_a_step_that_nobody_can_run_says_since_when_and_burns_no_attempt() -> None:
    play = Play(node("a", delays=(1.0,)))
    play.now = 1_000_000.0
    for _ in range(4):
        play.tell("a", "refused", cause="no_handler")
        assert "a worker that can run a: no capable worker since 1970-01-12T13:46:40.000Z" in said(play)
        play.pass_time(40.0)
        assert "no capable worker since 1970-01-12T13:46:40.000Z" in said(play), "while it is offered again"
    play.tell("a", "failed", error={**FAILED, "retryable": True})
    assert "no capable worker" not in said(play)
    assert play.find("a", "retry") is not None, "the budget is whole"


def test_rule_c7_an_undo_that_nobody_can_run_is_named_as_one() -> None:
    play = Play(node("a"), node("b", after=("a",), delays=()))
    play.tell("a")
    play.tell("b", "failed", error=FAILED)
    play.tell("a", "refused", cause="no_resource")
    assert "a worker that can run the undo of a: no capable worker since" in said(play)

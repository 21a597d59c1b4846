"""Moving a saga to another version of its definition: what fits goes on by the new graph, what does not is refused."""

from dataclasses import replace
from typing import Any

import pytest

from sagas.events import SagaMigrated
from sagas.inputs import Answer, Cancel, Migrate, ParentTurnsBack, TryAgain
from sagas.manifest import Handler, Manifest, Node
from sagas.state import Parent
from tests.unit.test_decisions import FAILED, SAGA, Play, node
from tests.unit.test_holding import ask, hold
from tests.unit.test_verbs_in_states import late_effect
from tests.unit.test_waiting import DAY, send, wait


def version(*nodes: Node, **more: Any) -> Manifest:
    return Manifest(name="m", nodes=nodes, input="x", input_schema={}, **more)


def move(play: Play, new: Manifest, **more: Any) -> Answer:
    answer = ask(play, Migrate(SAGA, "a better way", "m1", "ada", manifest=new, **more))
    if answer.code == "accepted":
        play.manifest = new
    return answer


def test_a_step_that_is_added_ahead_runs_and_the_saga_ends_by_the_new_version() -> None:
    play = Play(node("a"), node("c", after=("a",)))
    new = version(node("a"), node("b", after=("a",)), node("c", after=("b",)))
    assert move(play, new).code == "accepted"
    event = play.history[-1]
    assert event.event == SagaMigrated(fingerprint=new.fingerprint, reason="a better way")
    assert (event.actor, play.state.fingerprint) == ("ada", new.fingerprint)
    for step in ("a", "b", "c"):
        play.tell(step)
    assert play.state.status == "completed"


def test_a_step_that_can_run_at_once_is_scheduled_by_the_move() -> None:
    play = Play(node("a"))
    assert move(play, version(node("a"), node("b"))).code == "accepted"
    assert play.command("b").attempt == 1


def test_a_saga_that_waits_only_for_what_is_gone_completes() -> None:
    play = Play(node("a"), wait("agreed", after=("a",)))
    play.tell("a")
    answer = move(play, version(node("a")))
    assert (answer.code, answer.detail) == ("refused", "'agreed' is running, and the new version has no such step")
    play = Play(node("a"), node("b", after=("a",)))
    play.tell("a")
    assert move(play, version(node("a"), node("z", after=("a",)))).detail == (
        "'b' is scheduled, and the new version has no such step"
    )


def test_what_had_to_run_before_something_that_has_begun_is_refused() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    play.tell("a")
    answer = move(play, version(node("n"), node("a", after=("n",)), node("b", after=("a",))))
    assert answer.code == "refused"
    assert answer.detail == "'n' has to end before 'a', which has begun; 'n' has to end before 'b', which has begun"
    assert play.state.fingerprint != version().fingerprint


def test_turning_back_a_new_step_before_what_was_done_is_no_trouble() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    play.tell("a")
    play.tell("b", "failed", error=FAILED)
    assert play.find("a", "undo") is not None
    assert move(play, version(node("n"), node("a", after=("n",)), node("b", after=("a",)))).code == "accepted"
    play.tell("a")
    assert play.state.status == "compensated"


@pytest.mark.parametrize("runs", [True, False], ids=["running", "done"])
def test_no_undo_is_added_behind_one_that_has_begun(runs: bool) -> None:
    play = Play(node("a"), node("b", "no_undo"))
    play.tell("a")
    ask(play, Cancel(SAGA, "enough", "c1"))
    if not runs:
        play.tell("b")
    assert play.find("a", "undo") is not None
    answer = move(play, version(node("a"), node("b", after=("a",))))
    assert (answer.code, answer.detail) == ("refused", "'b' has to be over and undone before 'a', which is undoing")
    assert move(play, version(node("a"), node("b"))).code == "accepted", "beside it there is room for one"
    if runs:
        play.tell("b")
    assert play.find("b", "undo") is not None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "sleep", "handler": None}, "'a' has begun as a step and is a sleep now"),
        ({"each": "input.list"}, "'a' has begun for each saga and is run for each input.list now"),
        (
            {"handler": Handler("a", transactional=True)},
            "'a' has begun without a Transaction and is done with one now",
        ),
        ({"undo": None, "step_class": "no_undo"}, "'a' has begun, and its undo is gone: nothing could undo it"),
    ],
)
def test_what_was_done_cannot_become_another_thing(change: dict[str, Any], says: str) -> None:
    play = Play(node("a"), node("b", after=("a",)))
    play.tell("a")
    assert says in str(move(play, version(replace(node("a"), **change), node("b", after=("a",)))).detail)


def test_policies_queues_and_names_of_functions_may_change() -> None:
    play = Play(node("a", delays=(100.0,)), node("b", after=("a",)))
    new = version(node("a", delays=(1.0,), queue="other", priority="high"), node("b", after=("a",)))
    assert move(play, new).code == "accepted"
    play.tell("a", "failed", error={**FAILED, "retryable": True})
    play.pass_time(1.1)
    assert play.command("a").attempt == 2


def test_the_pivot_cannot_move_once_either_has_begun() -> None:
    play = Play(node("a"), node("p", "pivot", after=("a",)), node("z", "retriable", after=("p",)))
    earlier = version(node("a", "pivot"), node("p", "retriable", after=("a",)), node("z", "retriable", after=("p",)))
    assert "'a' is scheduled and is the pivot now" in str(move(play, earlier).detail)
    later = version(node("a"), node("p", after=("a",)), node("z", "pivot", after=("p",)))
    assert move(play, later).code == "accepted"
    play = Play(node("a"), node("p", "pivot", after=("a",)), node("z", "retriable", after=("p",)))
    play.tell("a")
    assert "'p' is scheduled and is no pivot any more" in str(move(play, later).detail)


def test_an_undo_may_go_once_there_is_no_way_back() -> None:
    play = Play(node("a"), node("p", "pivot", after=("a",)), node("z", "retriable", after=("p",)))
    play.tell("a")
    play.tell("p")
    new = version(node("a", "no_undo"), node("p", "pivot", after=("a",)), node("z", "retriable", after=("p",)))
    assert move(play, new).code == "accepted"


def test_a_condition_over_known_values_needs_its_answer() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    new = version(
        node("a"), node("b", after=("a",), when="input.gift"), node("c", after=("a",), when="a.fragile"),
        paths=(("a.fragile", "when"), ("input.gift", "when")),
    )  # fmt: skip
    assert move(play, new).detail == "what stands at 'input.gift' is not known"
    assert move(play, new, facts={"when:input.gift": False}).code == "accepted"
    play.tell("a", result={"fragile": True})
    assert play.state.step("b").status == "skipped"
    assert play.command("c").attempt == 1


def test_a_signal_that_came_early_is_kept_for_its_wait() -> None:
    play = Play(node("a"), wait("agreed", after=("a",), timeout=DAY))
    send(play, "agreed", {"by": "Bo"})
    assert "'agreed' was sent, and the new version has no such step" in str(move(play, version(node("a"))).detail)
    assert move(play, version(node("a"), node("n"), wait("agreed", after=("a", "n"), timeout=DAY))).code == "accepted"
    play.tell("a")
    play.tell("n")
    assert play.state.status == "completed"


def test_what_makes_no_sense_is_refused_or_changes_nothing() -> None:
    play = Play(node("a"))
    assert move(play, play.manifest).code == "nothing"
    assert "not of 'other'" in str(move(play, replace(play.manifest, name="other")).detail)
    assert move(play, version(node("a"), node("b")), expected=99).code == "moved"
    hold(play)
    assert move(play, version(node("a"), node("b"))).code == "accepted"
    assert play.find("b", "step") is None, "it is held"
    play = Play(node("a"))
    play.give(Cancel(SAGA, "stop", "c1"))
    play.tell("a", "refused", cause="no_handler")
    assert move(play, version(node("a"), node("b"))).detail == "the saga is compensated"


def test_a_child_that_has_completed_moves_since_its_parent_may_turn_it_back() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    play.state = replace(play.state, parent=Parent("p", "c", 1))
    play.tell("a")
    play.tell("b")
    assert play.state.status == "completed"
    new = version(node("n"), node("a", after=("n",)), node("b", after=("a",)))
    assert move(play, new).code == "accepted"
    assert (play.state.status, play.state.fingerprint) == ("completed", new.fingerprint)
    play.give(ParentTurnsBack(SAGA, "p/9"))
    play.tell("b")
    play.tell("a")
    assert [wait.kind for wait in play.state.waits.values()] == []
    assert move(play, version(node("a"), node("b", after=("a",)))).detail == "the saga is compensated"


def test_a_child_does_not_move_to_where_its_parent_could_not_turn_it_back() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    new = version(node("a"), node("b", "pivot", after=("a",)))
    play.state = replace(play.state, parent=Parent("p", "c", 1))
    told = move(play, new)
    assert (told.code, told.detail) == (
        "refused", "'b' is a pivot now: the saga that started it could not turn it back",
    )  # fmt: skip
    play.state = replace(play.state, parent=None)
    assert move(play, new).code == "accepted"


def test_a_saga_that_has_ended_moves_while_somebody_is_asked_about_a_late_effect() -> None:
    play = late_effect()
    nodes = [replace(one, queue="other") if one.name == "b" else one for one in play.manifest.nodes]
    assert move(play, replace(play.manifest, nodes=tuple(nodes))).code == "accepted"
    ask(play, TryAgain(SAGA, "undo it", "t1", "op", step="b"))
    play.tell("b")
    assert play.state.status == "compensated"
    assert not play.state.waits

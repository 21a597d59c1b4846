"""Items behind the pivot: what is left out, and lists that are too long (def_R16)."""

from dataclasses import replace
from typing import Any

import pytest

from amends import Permanent
from amends.remedies import remedies
from amends.testing import Unknown, given, later, outcome, resolve
from amends.testing import events as e
from amends.testing.decisions import SagaSoFar
from orchestrator.arguments import Plan, plan_of
from orchestrator.commands import role_of
from sagas import decide
from sagas.draft import Draft
from sagas.inputs import Correct, Hold, Migrate, Outcome, Release, Resolve, TryAgain
from sagas.manifest import ITEMS_MAX, Handler, Node, Parameter
from sagas.prove import prove
from sagas.state import Wait
from tests.unit.test_decisions import BOUND_SECONDS, FAILED, SAGA, Play, node
from tests.unit.test_holding import ask
from tests.unit.test_prove import of

NO = Permanent("no")
PATHS = (("input.items", "each"),)


def behind(*rest: Node, **more: Any) -> SagaSoFar:
    """A saga with one item behind its pivot, which is under way; what fails of it may be left out."""
    each = node("a", "retriable", after=("p",), each="input.items", item_failure="leave_out", delays=(), **more)
    return given(of(node("p", "pivot"), each, *rest, paths=PATHS), {"items": [1]}, outcome("p"))


def test_def_r16_an_item_that_fails_behind_the_pivot_is_left_out() -> None:
    behind(node("b", "retriable", after=("a",))).when(outcome("a", NO, item=0)).then(
        e.StepFailed(step="a", item=0, error={}),
        e.StepSkipped(step="a", item=0, why="left_out"),
        e.StepScheduled(step="b"),
    )


def test_def_r16_an_item_is_left_out_when_its_fallback_has_failed_too() -> None:
    fell = behind(fallback=Handler("other")).when(outcome("a", NO, item=0)).then(
        e.StepFailed(step="a", item=0, error={}), e.FallbackScheduled(step="a", item=0, attempt=2, cause="failed"),
    )  # fmt: skip
    fell.when(outcome("a", NO, item=0)).then(
        e.StepFailed(step="a", item=0, role="fallback", error={}),
        e.StepSkipped(step="a", item=0, why="left_out"),
        e.SagaCompleted(),
    )


def test_def_r16_an_item_that_nobody_knows_of_is_left_out_once_it_is_known_to_have_failed() -> None:
    unknown = behind().when(outcome("a", Unknown(), item=0))
    asked = unknown.then(
        e.StepOutcomeUnknown(step="a", item=0, cause="timed_out"),
        e.WaitOpened(step="a", item=0, kind="operator", cause="outcome_unknown"),
    )
    asked.when(later(BOUND_SECONDS + 1)).then().when(resolve("a", "did_not_happen", item=0)).then(
        e.StepResolved(step="a", item=0, outcome="did_not_happen", reason="I looked"),
        e.StepSkipped(step="a", item=0, why="left_out"),
        e.SagaCompleted(),
    )


LONG = list(range(ITEMS_MAX + 1))


def too_long(**more: Any) -> Play:
    """A list that is too long, which a step gave behind the pivot: an operator is asked."""
    play = Play(
        node("p", "pivot"), node("l", "retriable", after=("p",)),
        node("a", "retriable", after=("l",), each="l", **more),
        node("b", "retriable", after=("a",), each="a"), node("c", "retriable", after=("b",)),
        paths=(("l", "each"),),
    )  # fmt: skip
    play.tell("p")
    play.tell("l", result=LONG)
    return play


def tell_item(play: Play, item: int, kind: Any = "succeeded", **more: Any) -> Wait:
    """What became of an item of `a`."""
    wait = play.state.wait_of("a", item, "step", "probe")
    assert wait is not None
    play.give(Outcome(SAGA, wait.opened_by, wait.attempt, "a", item, role_of(wait), kind, **more))
    return wait


def plan_of_value(play: Play, name: str) -> Plan:
    plan = plan_of(play.manifest, play.state, play.manifest.by_name["c"], None, Parameter("x", "node", name))
    assert plan is not None
    return plan


def asked(play: Play) -> list[tuple[str | None, int | None, str | None]]:
    return [(wait.step, wait.item, wait.cause) for wait in play.state.waits.values() if wait.kind == "operator"]


@pytest.mark.parametrize("transactional", [False, True])
def test_a_list_that_is_too_long_behind_the_pivot_is_skipped_as_a_whole(transactional: bool) -> None:
    play = too_long(transactional=transactional)
    assert asked(play) == [("a", None, "step_failed")]
    assert ask(play, Resolve(SAGA, "not needed", "s", step="a", outcome="skip")).code == "accepted"
    assert [play.state.step(name).status for name in ("a", "b")] == ["skipped", "pending"]
    play.tell("c")
    assert (play.state.status, dict(play.state.waits)) == ("completed", {})
    assert plan_of_value(play, "a").values == (None,)


def test_def_r2_of_a_list_that_has_not_ended_nothing_is_given_also_where_a_migration_made_it_an_ancestor() -> None:
    """A list of as many `None` as it has items would be a result of each."""
    nodes = node("p"), node("a", after=("p",), each="input.items"), node("c", after=("a",))
    play = Play(*nodes, paths=PATHS, value={"items": [1, 2]})
    assert plan_of_value(play, "a").values == (None,)
    play.tell("p")
    for item in (0, 1):
        assert plan_of_value(play, "a").values == (None,)
        tell_item(play, item, result=item + 1)
    assert [value and value.inline for value in plan_of_value(play, "a").values] == [1, 2]


def test_def_r2_a_list_is_given_though_a_late_word_made_an_item_unknown_that_had_been_left_out() -> None:
    play = Play(
        node("a", each="input.items", item_failure="leave_out", probe=Handler("ask")), node("c", after=("a",)),
        node("d", after=("c",)), paths=PATHS, value={"items": [1, 2]},
    )  # fmt: skip
    first = tell_item(play, 1, "unknown", cause="timed_out")
    tell_item(play, 0, result=1)
    play.pass_time(BOUND_SECONDS + 0.1)
    tell_item(play, 1, closed=True)
    play.pass_time(1.1)
    tell_item(play, 1, "failed", error={**FAILED, "retryable": False})
    assert play.state.step("a", 1).status == "skipped"
    play.tell("c")
    play.tell("d", "failed", error=FAILED)
    play.give(Outcome(SAGA, first.opened_by, first.attempt, "a", 1, "step", "unknown", cause="error"))
    assert play.state.step("a", 1).status == "unknown"
    assert [value and value.inline for value in plan_of_value(play, "a").values] == [1, None]


@pytest.mark.parametrize("late", [{"kind": "unknown", "cause": "error"}, {"kind": "succeeded", "result": 2}])
def test_def_r2_a_list_is_given_though_an_operator_has_an_item_undone_that_had_been_left_out(late: Any) -> None:
    play = Play(
        node("a", each="input.items", item_failure="leave_out"), node("c", after=("a",)), node("d", after=("c",)),
        paths=PATHS, value={"items": [1, 2]},
    )  # fmt: skip
    tell_item(play, 0, result=1)
    wait = tell_item(play, 1, "failed", error={**FAILED, "retryable": False})
    play.tell("c")
    play.tell("d", "failed", error={**FAILED, "retryable": False})
    while play.state.step("c").status == "undoing":
        if play.find("c", "undo") is not None:
            play.tell("c", "failed", error=FAILED)
        play.pass_time(400)
    assert (play.state.status, play.state.step("c").status) == ("failed", "undo_failed")
    play.give(Outcome(SAGA, wait.opened_by, wait.attempt, "a", 1, "step", **late))
    assert ask(play, TryAgain(SAGA, "undo it", "first", step="a", item=1)).code == "accepted"
    assert ask(play, TryAgain(SAGA, "undo it", "second", step="c")).code == "accepted"
    assert [value and value.inline for value in plan_of_value(play, "a").values] == [1, None]


def test_def_r2_of_a_list_whose_item_failed_nothing_is_given_though_a_late_word_made_it_unknown() -> None:
    """It had not ended when the step beside it succeeded, which a migration then put behind it."""

    def nodes(*after: str) -> tuple[Node, ...]:
        return node("a", each="input.items"), node("c", after=after)

    play = Play(*nodes(), paths=PATHS, value={"items": [1]})
    play.tell("c")
    wait = tell_item(play, 0, "failed", error={**FAILED, "retryable": False})
    play.tell("c", "failed", error=FAILED)
    play.give(Outcome(SAGA, wait.opened_by, wait.attempt, "a", 0, "step", "unknown", cause="error"))
    assert play.state.step("a", 0).reason == "late_unknown"
    moved = replace(play.manifest, nodes=nodes("a"))
    assert ask(play, Migrate(SAGA, "newer", "m", manifest=moved)).code == "accepted"
    play.manifest = moved
    play.pass_time(1.1)
    assert play.state.step("c").status == "undoing"
    assert plan_of_value(play, "a") == Plan((None,))


def test_a_list_that_was_too_long_is_corrected_and_its_items_run() -> None:
    play = too_long()
    again = TryAgain(SAGA, "shorter now", "t", step="a")
    told = ask(play, again)
    assert told.code == "refused"
    assert told.detail == "'a' has 10001 items, and at most 10000 may be: correct 'l' first, or skip 'a'"
    assert ask(play, Correct(SAGA, "cut", "k", step="l", value=[1, 2])).code == "accepted"
    assert play.state.wait_of("a", 0, "step") is None, "an operator says when"
    assert ask(play, again).code == "accepted"
    assert asked(play) == []
    assert [play.state.wait_of("a", item, "step") is not None for item in (0, 1, 2)] == [True, True, False]


def test_a_list_that_was_too_long_runs_once_a_held_saga_is_released() -> None:
    play = too_long()
    ask(play, Hold(SAGA, "look", "h"))
    ask(play, Correct(SAGA, "cut", "k", step="l", value=[1]))
    assert ask(play, TryAgain(SAGA, "shorter now", "t", step="a")).code == "accepted"
    assert play.state.wait_of("a", 0, "step") is None
    ask(play, Release(SAGA, "go", "r"))
    assert play.state.wait_of("a", 0, "step") is not None


@pytest.mark.parametrize("said", ["happened", "did_not_happen", "undone"])
def test_of_a_list_of_which_nothing_has_begun_nothing_else_can_be_said(said: Any) -> None:
    play = too_long()
    assert ask(play, Resolve(SAGA, "so", "s", step="a", outcome=said)).code == "refused"
    assert ask(play, Resolve(SAGA, "so", "s", step="a", item=3, outcome=said)).code == "refused"
    assert asked(play) == [("a", None, "step_failed")]


def test_the_commands_that_end_it_are_named() -> None:
    play = too_long()
    (desk,) = [wait for wait in play.state.waits.values() if wait.kind == "operator"]
    told = {str(one["command"]): one["allowed"] for one in remedies(play.manifest, play.state, desk, play.now)}
    assert told == {
        f"amends saga retry {SAGA} a --reason …": False,
        f"amends saga resolve {SAGA} a --skip --reason …": True,
        f"amends saga cancel {SAGA} --reason …": False,
    }


def test_a_list_of_the_input_that_is_too_long_for_a_step_behind_the_pivot_turns_back_before_the_pivot() -> None:
    play = Play(
        node("k"), node("p", "pivot", after=("k",)), node("a", "retriable", after=("p",), each="input.items"),
        value={"items": LONG}, paths=PATHS,
    )  # fmt: skip
    assert (play.state.status, play.find("p", "step"), asked(play)) == ("compensating", None, [])


def test_a_list_that_is_too_long_fails_nothing_before_it_is_known_to_be_needed() -> None:
    paths = (*PATHS, ("k.enough", "when"))
    play = Play(
        node("k"), node("a", after=("k",), each="input.items", unless="k.enough"), value={"items": LONG}, paths=paths
    )
    play.tell("k", result={"enough": True})
    assert play.state.status == "completed"


def test_the_prover_walks_lists_that_are_too_long_and_names_a_desk_that_nothing_can_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = of(
        node("p", "pivot"), node("l", "retriable", after=("p",)), node("a", "retriable", after=("l",), each="l"),
        paths=(("l", "each"),),
    )  # fmt: skip
    proof = prove(manifest)
    assert proof.good, proof.holes
    assert proof.asked["step_failed"] == ("l", "a")

    def refused(draft: Draft, word: object) -> None:
        draft.refuse("no")

    monkeypatch.setattr(decide, "asked", refused)
    holes = prove(manifest).holes
    assert any(hole.what == "nothing that an operator may say of 'a' is taken (step_failed)" for hole in holes), holes
    assert any("'l' is too long" in " ".join(hole.way) for hole in holes)


def test_a_step_whose_items_have_begun_is_not_skipped_by_a_corrected_input() -> None:
    """def_R15: what has begun goes on; its items would be left alone, done and not undone."""
    items = node("a", each="input.items", when="input.flag", concurrency=1)
    paths = (*PATHS, ("input.flag", "when"))
    play = Play(items, node("b", after=("a",)), value={"items": [1, 2], "flag": True}, paths=paths)
    ask(play, Correct(SAGA, "no flag", "c1", value={"items": [1, 2], "flag": False}))
    assert play.state.step("a").status == "pending"
    assert play.find("b", "step") is None

"""The prover: it finds every end of a definition, and names the way where a rule is broken."""

import json
from typing import Any

import pytest

from sagas import compensation, decide, failure, forward, prove
from sagas.choices import Choices
from sagas.draft import Draft
from sagas.events import SagaCompensated, SagaCompleted, UndoScheduled
from sagas.manifest import Handler, Manifest, Node
from sagas.sameness import Reduced
from sagas.state import COMMAND_KINDS, State
from tests.unit.test_decisions import node
from tests.unit.test_family import child
from tests.unit.test_waiting import sleep, wait


def of(*nodes: Node, paths: Any = (), deadline: float | None = None) -> Manifest:
    return Manifest(name="m", nodes=nodes, input="x", input_schema={}, paths=paths, deadline=deadline)


def test_a_saga_without_trouble_left_out_ends_in_three_ways() -> None:
    proof = prove.prove(of(node("a"), node("b", after=("a",))))
    assert proof.good
    assert proof.ends == ("completed", "compensated", "failed")
    assert proof.asked == {"late_effect": ("a", "b"), "undo_failed": ("a", "b")}


def test_behind_the_pivot_an_operator_decides_and_the_windows_are_named() -> None:
    """def_R9, def_R10."""
    proof = prove.prove(of(node("a"), node("n", "no_undo", after=("a",)), node("p", "pivot", after=("n",)),
                           node("r", "retriable", after=("p",))))  # fmt: skip
    assert proof.good
    assert proof.asked["step_failed"] == proof.asked["outcome_unknown"] == ("r",)
    assert proof.asked["pivot_unknown"] == ("p",)
    assert proof.windows == (
        "the pivot 'p', and behind it: r",
        "steps without an undo, left as they are when the saga turns back: n",
    )


@pytest.mark.parametrize(
    "manifest",
    [
        of(node("a"), wait(after=("a",)), sleep(after=("ok",)), node("b", after=("pause",)), deadline=100.0),
        of(node("a"), child("c", after=("a",)), node("b", after=("c",))),
        of(node("a", each="input.items"), node("b", after=("a",), when="input.flag"),
           paths=(("input.items", "each"), ("input.flag", "when"))),
        of(node("a", probe=Handler("ask")), node("t", transactional=True, after=("a",)), node("b", after=("t",))),
        of(node("a", fallback=Handler("other")), node("p", "pivot", after=("a",), probe=Handler("ask"))),
        of(node("a", schedule_timeout=5.0), node("p", "pivot", after=("a",), schedule_timeout=5.0),
           node("b", "retriable", after=("p",), schedule_timeout=5.0)),
    ],
    ids=["waits", "child", "items", "probes", "fallback", "limits"],
)  # fmt: skip
def test_every_way_ends_whatever_the_saga_uses(manifest: Manifest) -> None:
    proof = prove.prove(manifest)
    assert proof.good, proof.holes
    assert {"completed", "compensated"} <= set(proof.ends)


def test_an_effect_that_is_never_undone_is_named_with_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(node: Node, step: Any) -> bool:
        return node.name != "a" and node.undo is not None and step.status in ("succeeded", "unknown")

    monkeypatch.setattr(compensation, "needs_undo", forgets)
    proof = prove.prove(of(node("a"), node("b", after=("a",))))
    assert not proof.good
    assert any(hole.what == "compensated, and a is still done" and hole.way for hole in proof.holes)


def test_a_way_that_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def goes_nowhere(draft: Draft, *rest: Any) -> None:
        """A failure that nothing follows."""

    monkeypatch.setattr(failure, "after_failure", goes_nowhere)
    monkeypatch.setattr(decide, "after_failure", goes_nowhere)
    proof = prove.prove(of(node("a"), node("b", after=("a",))))
    (hole,) = [hole for hole in proof.holes if hole.what == "it never ends"]
    assert hole.way[-1] in ("a fails for good", "nobody knows whether a happened")


def undone_at_once(draft: Draft, *rest: Any) -> None:
    """Undoes everything at once, in whatever order."""
    if draft.state.status != "compensating":
        return
    for one in draft.manifest.nodes:
        step = draft.step(one, None)
        if compensation.needs_undo(one, step):
            draft.emit(UndoScheduled(step=one.name, attempt=step.attempt + 1))
    if not any(wait.kind in COMMAND_KINDS for wait in draft.state.waits.values()):
        draft.emit(SagaCompensated())


def test_an_undo_before_its_turn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "unwind", undone_at_once)
    monkeypatch.setattr(compensation, "unwind", undone_at_once)
    proof = prove.prove(of(node("a"), node("b", after=("a",)), node("c", after=("b",))))
    assert any(hole.what == "a is undone while b, which depends on it, is not" for hole in proof.holes)


def test_an_end_before_everything_is_done_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(draft: Draft) -> None:
        real(draft)
        if draft.state.status == "active" and draft.state.step("a").status == "succeeded":
            draft.emit(SagaCompleted())

    real = forward.advance
    monkeypatch.setattr(decide, "advance", impatient)
    proof = prove.prove(of(node("a"), node("b", after=("a",))))
    assert [hole.what for hole in proof.holes if hole.way == ("a succeeds",)] == ["completed, and b is not done"]


def test_a_pause_that_stands_behind_the_pivot_keeps_no_saga_from_completing() -> None:
    pivoted = of(node("p", "pivot"), sleep(length=60.0, after=("p",)), deadline=30.0)
    assert prove.prove(pivoted).good
    assert not prove.prove(of(node("a"), sleep(length=60.0, after=("a",)), deadline=30.0)).good


def test_twelve_steps_of_which_four_run_at_once_are_few_states() -> None:
    """How many states there are does not hang on the machine; they take less than a second."""
    first, second, third = ("a", "b", "c", "d"), ("e", "f", "g", "h"), ("i", "j", "k", "l")
    layers = [
        *map(node, first),
        *(node(name, after=first) for name in second),
        *(node(name, after=second) for name in third),
    ]
    proof = prove.prove(of(*layers))
    assert proof.good
    assert proof.states < 500
    assert proof.asked["undo_failed"] == (*first, *second, *third)
    assert len(prove.REDUCTIONS) == len(proof.reductions)


def walked(manifest: Manifest) -> list[tuple[State, set[str]]]:
    """All states of a walk, each with what may happen in it."""
    choices = Choices.of(manifest)
    same = Reduced(choices.manifest)
    waiting = list(choices.starts())
    seen, found = {same.key(here) for here in waiting}, list[tuple[State, set[str]]]()
    for here in waiting:
        led = list(choices.at(here))
        found.append((here.state, {choice for choice, _ in led}))
        for _, other in led:
            if (key := same.key(other)) not in seen:
                seen.add(key)
                waiting.append(other)
    return found


EVERYTHING = of(
    node("a", probe=Handler("ask")), wait("ok", after=("a",)), child("c", after=("ok",)),
    node("e", each="input.items", when="input.flag", after=("c",)), node("f", "no_undo", fallback=Handler("g"),
    after=("e",)), sleep(after=("f",)), node("p", "pivot", after=("pause",)), node("r", "retriable", after=("p",)),
    paths=(("input.items", "each"), ("input.flag", "when")), deadline=1e6,
)  # fmt: skip


CHOICES = (
    "a succeeds",
    "a fails for good",
    "nobody knows whether a happened",
    "the probe of a: it happened",
    "the probe of a: it did not",
    "the probe of a cannot tell",
    "the undo of a succeeds",
    "the undo of a fails for good",
    "somebody sends ok",
    "nobody sends ok",
    "the child c completes",
    "the child c is compensated",
    "e[1] fails for good",
    "the fallback of f succeeds",
    "the fallback of f fails for good",
    "nobody knows whether the fallback of f happened",
    "pause is over",
    "the deadline passes",
    "nobody knows whether p happened",
    "r fails for good",
    "somebody cancels",
    "a worker that was given up did p all the same",
)


def test_all_that_may_go_wrong_is_walked() -> None:
    met = {choice for _, choices in walked(EVERYTHING) for choice in choices}
    assert [choice for choice in CHOICES if not any(choice in said for said in met)] == []
    assert prove.prove(EVERYTHING).asked["late_effect"] == ("a", "e")


def test_at_each_place_before_the_pivot_has_passed_somebody_may_cancel_and_the_deadline_may_pass() -> None:
    places = 0
    for state, choices in walked(EVERYTHING):
        if state.status == "active" and state.step("p").status not in ("succeeded", "skipped"):
            places += 1
            assert "somebody cancels" in choices
            timed = any(wait.kind == "deadline" for wait in state.waits.values())
            assert timed == ("the deadline passes" in choices)
    assert places > 10


def test_what_is_too_large_is_not_called_proved() -> None:
    proof = prove.prove(of(*(node(f"s{number}") for number in range(6))), limit=5)
    assert (proof.complete, proof.good) == (False, False)


def test_the_command_says_it_to_people_and_to_machines(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from amends.cli.proving import prove as command

    for as_json in (False, True):
        with pytest.raises(typer.Exit) as ended:
            command(["marketplace"], as_json=as_json)
        assert ended.value.exit_code == 0
        said = capsys.readouterr().out
        if as_json:
            assert all(entry["good"] for entry in json.loads(said))
        else:
            assert "approval: every way ends" in said
            assert "  ends completed, compensated or failed, where it rests until an operator decides\n" in said
            assert "  cannot be undone: the pivot 'published', and behind it: notified\n" in said
            assert "  asks an operator when an undo gave up (undo_failed): plan, tasks, assignment\n" in said
            assert "  while a saga turns back" in said

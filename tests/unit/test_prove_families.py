"""The prover and families: what a parent's deadline ends in its child, and what it leaves no time for."""

from dataclasses import replace

import pytest

from sagas import compensation, decide, forward
from sagas import events as e
from sagas.draft import Draft
from sagas.inputs import ParentTurnsBack
from sagas.manifest import Manifest, Node, RetryPolicy
from sagas.prove import Proof, prove
from tests.unit.test_decisions import node
from tests.unit.test_family import child
from tests.unit.test_prove import of
from tests.unit.test_waiting import sleep

FOREVER = RetryPolicy(delays=(1.0,), forever=True)


def tried_for_ever(step: Node, role: str = "handler") -> Node:
    return replace(step, **{role: replace(getattr(step, role), retry=FOREVER)})


def proved(parent: Manifest, inner: Manifest) -> Proof:
    """The proof of a saga that starts `other`."""
    return prove(parent, children={"other": prove(inner, started=True)})


def what(proof: Proof) -> list[str]:
    return [hole.what for hole in proof.holes]


def test_a_child_that_pauses_for_longer_than_its_parents_deadline_never_completes() -> None:
    inner = of(sleep("night", length=40.0), node("a", after=("night",)), sleep("day", length=30.0, after=("a",)))
    parent = of(node("before"), child(after=("before",)), deadline=60.0)
    assert what(proved(parent, inner)) == [
        "no way completes: its pauses take 70 s, and after 1 minute its deadline turns it back (c)"
    ]
    assert proved(replace(parent, deadline=80.0), inner).good


def test_pauses_of_a_family_add_up_along_its_ways() -> None:
    inner = of(sleep("night", length=40.0))
    between = of(sleep("first", length=10.0), child(after=("first",)))
    grown = prove(between, children={"other": prove(inner, started=True)}, started=True)
    assert grown.good
    assert grown.pauses == 50.0
    parent = of(sleep("start", length=15.0), child(after=("start",)), deadline=60.0)
    assert what(prove(parent, children={"other": grown})) == [
        "no way completes: its pauses take 65 s, and after 1 minute its deadline turns it back (start, c)"
    ]


@pytest.mark.parametrize(
    "parent",
    [
        of(node("a"), child(after=("a",), step_class="pivot"), deadline=30.0),
        of(node("p", "pivot"), child(after=("p",), step_class="retriable"), deadline=30.0),
        of(node("a"), replace(child(after=("a",)), when="input.flag"), paths=(("input.flag", "when"),), deadline=30.0),
    ],
    ids=["pivot", "behind", "perhaps"],
)
def test_a_deadline_leaves_time_to_a_child_that_it_does_not_turn_back_or_that_may_be_left_out(parent: Manifest) -> None:
    assert proved(parent, of(sleep(length=60.0))).good


def test_a_deadline_ends_what_a_child_tries_for_ever() -> None:
    inner = of(node("a"), tried_for_ever(node("b", after=("a",))))
    assert not prove(inner).good
    assert proved(of(child(), deadline=30.0), inner).good
    assert not proved(of(child()), inner).good
    assert not proved(of(node("p", "pivot"), child(after=("p",), step_class="retriable"), deadline=30.0), inner).good


def test_a_deadline_further_up_ends_it_as_well() -> None:
    inner = prove(of(tried_for_ever(node("a"))), started=True)
    between = prove(of(child()), children={"other": inner}, started=True)
    assert not prove(of(child()), children={"other": between}).good
    assert prove(of(child(), deadline=30.0), children={"other": between}).good


def test_no_deadline_ends_an_undo_that_a_child_tries_for_ever() -> None:
    inner = of(node("a"), tried_for_ever(node("b", after=("a",)), "undo"))
    (hole,) = [hole for hole in proved(of(child(), deadline=30.0), inner).holes if "the undo of b" in hole.what]
    assert hole.what.startswith("'c' waits for its child 'm', which has a hole of its own: it can go on for ever")
    assert hole.way


def test_a_child_that_is_too_large_to_be_proved_is_named_as_that() -> None:
    large = prove(of(*(node(f"s{number}") for number in range(6))), limit=5)
    assert what(prove(of(child()), children={"other": large})) == [
        "'c' waits for its child 'm', which has too many states to be proved"
    ]


def test_a_child_that_has_completed_is_turned_back_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(draft: Draft, word: ParentTurnsBack) -> None:
        draft.emit(e.SagaTurnedBack(cause="parent"))
        draft.emit(e.SagaCompensated())

    manifest = of(node("a", each="input.items"), paths=(("input.items", "each"),))
    assert prove(manifest, started=True).good
    monkeypatch.setattr(decide, "parent_turns_back", forgets)
    assert prove(manifest).good
    hole = prove(manifest, started=True).holes[0]
    assert hole.what == "compensated, and a[0], a[1] are still done"
    assert hole.way[-1] == "the saga that started it turns back"


def test_items_of_which_one_is_not_done_are_not_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(draft: Draft, one: Node) -> bool:
        real(draft, one)
        return draft.state.step("e", 0).status == "succeeded"

    real = forward._advance_items  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(forward, "_advance_items", impatient)
    manifest = of(node("e", each="input.items"), paths=(("input.items", "each"),))
    assert any(hole.startswith("completed, and e[1] is not done") for hole in what(prove(manifest)))


def test_items_that_are_left_done_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_only(manifest: Manifest, state: object, one: Node) -> list[int | None]:
        return [None] if one.each is None else [None, 0]

    monkeypatch.setattr(compensation, "items_of", first_only)
    manifest = of(node("e", each="input.items"), node("b", after=("e",)), paths=(("input.items", "each"),))
    assert any(hole.startswith("compensated, and e[1] is still done") for hole in what(prove(manifest)))

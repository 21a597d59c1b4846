"""Whatever the family: no child outlives its parent, nothing is lost or stuck, and all is undone in order (rule B5)."""

import random

import pytest

from sagas import compensation
from sagas.manifest import Node
from sagas.state import StepState
from tests.property.families import Family, family_of
from tests.property.test_core import check_always, check_ended, check_order

STEPS_MAX = 4000
OPERATED_MAX = 12


def play(seed: int, trouble: float) -> Family:
    """Run one random family until nothing moves any more."""
    rng = random.Random(seed)
    family, operated = Family(rng, family_of(rng), trouble), 0
    family.start()
    for _ in range(STEPS_MAX):
        if family.act():
            continue
        if operated >= OPERATED_MAX or not family.operate():
            return family
        operated += 1
    pytest.fail(f"the family does not end: {[member.state for member in family.members.values()]}")


def check_family(family: Family) -> None:
    """What holds once nothing moves any more."""
    for member in family.members.values():
        check_always(member)
        check_ended(member)
        check_order(member)
        for step, child in family.children(member):
            record = member.state.step(step)
            assert child is not None, f"the child of {step} was never started"
            if member.state.terminal:
                assert child.status != "active", f"{step}: a child is active under a parent that has ended"
            if member.state.status == "compensated":
                assert child.status in ("compensated", "failed"), (
                    f"{step}: a child is {child.status}, its parent undone"
                )
            if record.status in ("running", "undoing") and record.child == child.saga_id:
                gone = child.terminal or child.closed
                assert not gone, f"{step} waits for a child that has ended"
            if member.state.status == "completed" and record.child == child.saga_id and record.status == "succeeded":
                assert child.status != "active"


TROUBLES = (0.0, 0.1, 0.3, 0.6)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_random_family_ends_with_its_invariants_intact(trouble: float) -> None:
    assert max(check_families(60, trouble)) > 2, "there are children, and children of children"


def check_families(count: int, trouble: float) -> list[int]:
    """Play so many, and see how large they are."""
    sizes: list[int] = []
    for seed in range(count):
        family = play(seed, trouble)
        check_family(family)
        sizes.append(len(family.members))
    return sizes


def test_without_trouble_children_complete_before_their_parents() -> None:
    together = 0
    for seed in range(60):
        family = play(seed, 0.0)
        states = [member.state for member in family.members.values()]
        together += len(states) > 1 and all(state.status == "completed" for state in states)
    assert together > 5


def test_a_child_that_is_left_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = compensation.needs_undo

    def forgets(node: Node, step: StepState) -> bool:
        return node.kind != "child" and real(node, step)

    monkeypatch.setattr(compensation, "needs_undo", forgets)
    with pytest.raises(AssertionError, match=r"a child is|is undone while the child"):
        check_families(60, 0.3)

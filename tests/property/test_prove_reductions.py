"""What the prover leaves out changes nothing: its verdicts are those of a walk through every order (decision 0020).

Many more seeds: `python -m tests.property.comparing --seeds 5000`.
"""

import random

import pytest

from sagas import compensation
from sagas.manifest import Node
from sagas.prove import prove
from sagas.state import StepState
from tests.property.comparing import compare, compared
from tests.property.families import family_of
from tests.property.graphs import manifest_of

SMALL = 150
"""States of a full walk that is small enough to be compared in the default suite."""
SEEDS = range(30)
VARIED = 150
EACH_SHAPE = ("child", "deadline", "each", "fallback", "hole", "pivot", "probe", "schedule_timeout", "signal",
              "sleep", "started", "undo", "unless", "when")  # fmt: skip


def test_both_walks_find_the_same_in_sagas_of_every_shape() -> None:
    met = compare(range(VARIED), SMALL)
    assert met["all"] >= VARIED // 3
    assert [shape for shape in EACH_SHAPE if not met[shape]] == []


def test_the_reduced_walk_finds_the_ends_of_the_full_one() -> None:
    found = [seed for seed in SEEDS if compared(manifest_of(random.Random(seed)), SMALL)]
    assert len(found) >= len(SEEDS) // 4, "graphs are small enough to be compared"


def test_the_reduced_walk_finds_the_ends_of_sagas_that_start_others() -> None:
    families = [family_of(random.Random(seed)) for seed in SEEDS[:20]]
    parents = [one for family in families for one in family.values() if any(node.child for node in one.nodes)]
    assert sum(compared(manifest, SMALL) is not None for manifest in parents) >= len(parents) // 5


def test_a_hole_that_the_full_walk_finds_the_reduced_one_finds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An undo that is forgotten for steps that stand in a certain place, so that other steps cannot stand for them."""
    real = compensation.needs_undo

    def forgets(node: Node, step: StepState) -> bool:
        return node.name != "s1" and real(node, step)

    monkeypatch.setattr(compensation, "needs_undo", forgets)
    found = [
        manifest
        for manifest in map(manifest_of, map(random.Random, SEEDS))
        if len(manifest.nodes) > 1 and manifest.nodes[1].undo is not None and compared(manifest, SMALL)
    ]
    assert any(not prove(manifest).good for manifest in found)

"""Branches that are walked one after the other: what goes round for ever comes last (decision 0020)."""

import random
from dataclasses import replace
from functools import cached_property

import pytest

from sagas.choices import Choices
from sagas.definition import OnTimeout
from sagas.manifest import Handler, Manifest, Node
from tests.property.comparing import compared
from tests.property.provable import FOREVER
from tests.unit.test_decisions import node

SEEDS, LIMIT = 60, 400


def branches_of(rng: random.Random) -> Manifest:
    """A few branches of signals, children, pauses, and steps that are tried for ever on their way forward or back."""
    nodes: list[Node] = []
    for name in "abcd"[: rng.choice((2, 3, 3, 4))]:
        after = tuple(rng.sample([one.name for one in nodes], min(len(nodes), rng.choice((0, 0, 1)))))
        kind = rng.choice(("signal", "signal", "child", "sleep", "step", "step", "step"))
        if kind == "signal":
            timeout: OnTimeout = rng.choice(("compensate", "compensate", "continue"))
            nodes.append(Node(name, "signal", "signal", after=after, length=5.0, on_timeout=timeout))
        elif kind == "child":
            nodes.append(Node(name, "child", "child", after=after, child="other", child_input="input"))
        elif kind == "sleep":
            nodes.append(Node(name, "sleep", "sleep", after=after, length=3.0))
        else:
            nodes.append(_step(rng, name, after))
    return Manifest(name="branches", nodes=tuple(nodes), input="x", input_schema={}, deadline=rng.choice((None, 40.0)))


def _step(rng: random.Random, name: str, after: tuple[str, ...]) -> Node:
    made = node(name, rng.choice(("compensatable", "no_undo")), after=after, transactional=True)
    assert made.handler is not None
    if rng.random() < 0.4:
        made = replace(made, handler=replace(made.handler, retry=FOREVER))
    if made.undo is not None and rng.random() < 0.3:
        made = replace(made, undo=Handler(made.undo.function, retry=FOREVER, transactional=made.undo.transactional))
    return made


def compare() -> int:
    """How many were compared; both walks have to find the same."""
    found = 0
    for seed in range(SEEDS):
        rng = random.Random(seed)
        found += compared(branches_of(rng), LIMIT, started=rng.random() < 0.5) is not None
    return found


def test_branches_one_after_the_other_find_what_every_order_finds() -> None:
    assert compare() > SEEDS // 2


def test_it_matters_that_what_goes_round_for_ever_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walked first, its rounds are met only while another branch still waits for a time that ends them."""
    nothing = cached_property(lambda self: frozenset[str]())
    nothing.__set_name__(Choices, "_endless")
    monkeypatch.setattr(Choices, "_endless", nothing)
    with pytest.raises(AssertionError):
        compare()

"""`make prover`: how long the prover takes for sagas of 12 steps, of which at most four run at once."""

import json
import resource
import sys
from collections.abc import Sequence

from sagas.manifest import Manifest, Node, PathKind
from sagas.prove import prove
from tests.unit.test_decisions import node

SECONDS_MAX = 10.0
LAYERS = ("abcd", "efgh", "ijkl")
FLAG: tuple[str, PathKind] = ("input.flag", "when")
ITEMS: tuple[str, PathKind] = ("input.items", "each")


def of(*nodes: Node, paths: Sequence[tuple[str, PathKind]] = ()) -> Manifest:
    """A saga of these steps."""
    assert len(nodes) == sum(map(len, LAYERS))
    return Manifest(name="m", nodes=nodes, input="x", input_schema={}, paths=tuple(paths))


def layers(**of_the_middle: str) -> list[Node]:
    """Three times four steps, each after all four before it."""
    first, second, third = LAYERS
    return [
        *(node(name) for name in first),
        *(node(name, after=tuple(first), **(of_the_middle if name == second[0] else {})) for name in second),
        *(node(name, after=tuple(second)) for name in third),
    ]


def lanes() -> list[Node]:
    """Four times three steps one after the other."""
    return [node(name, after=(before,) if before else ()) for lane in zip(*LAYERS, strict=True)
            for before, name in zip((None, *lane), lane, strict=False)]  # fmt: skip


def pivoted() -> list[Node]:
    """Two layers, a pivot, and three steps behind it."""
    before = layers()[:8]
    behind = [node(name, "retriable", after=("p",)) for name in "xyz"]
    return [*before, node("p", "pivot", after=tuple(LAYERS[1])), *behind]


def items() -> list[Node]:
    """Three lanes, and in the place of the fourth one step for each element of a list, one at a time."""
    return [one if one.name != "l" else node("l", each="input.items", concurrency=4) for one in lanes()]


SHAPES = {
    "layers": of(*layers()),
    "lanes": of(*lanes()),
    "pivoted": of(*pivoted()),
    "layers, one step with a condition": of(*layers(when="input.flag"), paths=[FLAG]),
    "lanes, one step with a condition": of(
        *(node(one.name, after=one.after, when="input.flag" if one.name == "e" else None) for one in lanes()),
        paths=[FLAG],
    ),
}

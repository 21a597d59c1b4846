"""`make prover`: how long the prover takes for sagas of 12 steps, of which at most four run at once."""

import gc
import json
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sagas.manifest import Handler, Manifest, Node, PathKind
from sagas.prove import prove
from tests.unit.test_decisions import node

STEPS = 12
FLAG: tuple[str, PathKind] = ("input.flag", "when")
PROBE: Mapping[str, Any] = {"probe": Handler("ask")}
FALLBACK: Mapping[str, Any] = {"fallback": Handler("or")}
LIMIT: Mapping[str, Any] = {"schedule_timeout": 5.0}
TRANSACTION: Mapping[str, Any] = {"transactional": True}
PAIRS = ({**PROBE, **FALLBACK}, {**FALLBACK, **LIMIT}, {**PROBE, **LIMIT}, {**TRANSACTION, **LIMIT})
ITEMS: tuple[str, PathKind] = ("input.items", "each")


def of(*nodes: Node, paths: Sequence[tuple[str, PathKind]] = ()) -> Manifest:
    """A saga of these twelve steps."""
    assert len(nodes) == STEPS
    return Manifest(name="m", nodes=nodes, input="x", input_schema={}, paths=tuple(paths))


def layers(*groups: str, when: str | None = None, each: str | None = None) -> list[Node]:
    """Groups of steps, each step after all of the group before; `e` may have a condition, or run for each item."""
    before: tuple[str, ...] = ()
    found: list[Node] = []
    for group in groups:
        for name in group:
            of_this: dict[str, Any] = {"when": when, "each": each, "concurrency": 4 if each else None}
            found.append(node(name, after=before, **(of_this if name == "e" else {})))
        before = tuple(group)
    return found


def lanes(when: str | None = None, kinds: Sequence[Mapping[str, Any]] = ({},)) -> list[Node]:
    """Four times three steps one after the other, of these kinds in turn; the last may have a condition."""
    found: list[Node] = []
    for start, lane in enumerate(("abc", "def", "ghi", "jkl")):
        for place, name in enumerate(lane):
            after, kind = (lane[place - 1],) if place else (), kinds[(start + place) % len(kinds)]
            found.append(node(name, after=after, when=when if name == "l" else None, **kind))
    return found


def mesh(kind: Mapping[str, Any]) -> list[Node]:
    """Three times three steps one after the other, and three that join them before they are over."""
    joins = {"x": ("a", "d"), "y": ("d", "g"), "z": ("x", "y")}
    chains = [node(lane[place], after=tuple(lane[place - 1 : place]), **kind) for lane in ("abc", "def", "ghi")
              for place in range(3)]  # fmt: skip
    return [*chains, *(node(name, after=after, **kind) for name, after in joins.items())]


def pivoted() -> list[Node]:
    """Two layers, a pivot, and three steps behind it."""
    behind = [node(name, "retriable", after=("p",)) for name in "xyz"]
    return [*layers("abcd", "efgh"), node("p", "pivot", after=tuple("efgh")), *behind]


def of_all_kinds() -> list[Node]:
    """Three layers of a plain step, a transaction, one with a probe and one with a fallback."""
    kinds: list[Mapping[str, Any]] = [{}, TRANSACTION, PROBE, FALLBACK]
    groups = ("abcd", "efgh", "ijkl")
    return [
        node(name, after=tuple(before), **kind)
        for before, group in zip(("", *groups), groups, strict=False)
        for name, kind in zip(group, kinds, strict=True)
    ]


SHAPES = {
    "three layers of four": of(*layers("abcd", "efgh", "ijkl")),
    "four lanes of three": of(*lanes()),
    "four, four, a pivot, three": of(*pivoted()),
    "layers of four kinds of steps": of(*of_all_kinds()),
    "lanes, of probes, fallbacks, start limits and transactions two for each": of(*lanes(kinds=PAIRS)),
    "lanes, a probe, a fallback and a start limit for each": of(*lanes(kinds=[{**PROBE, **FALLBACK, **LIMIT}])),
    "lanes that join, a probe, a fallback and a start limit for each": of(*mesh({**PROBE, **FALLBACK, **LIMIT})),
    "layers, one step with a condition": of(*layers("abcd", "efgh", "ijkl", when=FLAG[0]), paths=[FLAG]),
    "lanes, one step with a condition": of(*lanes(when=FLAG[0]), paths=[FLAG]),
    "four, each of a list, four, three": of(*layers("abcd", "e", "fghi", "jkl", each=ITEMS[0]), paths=[ITEMS]),
    "each of a list beside three, four, four": of(*layers("ebcd", "fghi", "jklm", each=ITEMS[0]), paths=[ITEMS]),
}


def unlike(manifest: Manifest) -> Manifest:
    """The same with steps of which none can stand in for another: their timeouts differ."""
    nodes = [replace(one, handler=replace(one.handler, timeout=10.0 + place))
             for place, one in enumerate(manifest.nodes) if one.handler is not None]  # fmt: skip
    return replace(manifest, nodes=tuple(nodes))


def main() -> None:
    """Prove all shapes, of steps that are alike and of such that are not."""
    wrong: list[str] = []
    gc.disable()  # as `amends prove` does
    for name, shape in SHAPES.items():
        for manifest in (shape, unlike(shape)):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            proof = prove(manifest)
            seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
            told = {"saga": name, "alike": manifest is shape, "states": proof.states, "choices": proof.choices,
                    "clean": proof.good, "processor_seconds": round(seconds, 2)}  # fmt: skip
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            if not proof.good:
                wrong.append(name)
    if wrong:
        sys.exit(f"not proved: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

"""Random new versions of random graphs, each of which could be sealed; whether a saga may move to one is another thing.

What changes: nodes, edges, conditions, undos, the pivot, probes, fallbacks, limits, and transactions.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from sagas.manifest import Handler, Manifest, Node, PathKind, RetryPolicy

CHANGES_MAX = 3
ONCE = RetryPolicy(delays=(1.0,))
Nodes = list[Node]


def paths_of(nodes: Sequence[Node]) -> tuple[tuple[str, PathKind], ...]:
    """What is read of the input, as sealing finds it."""
    read: dict[tuple[str, PathKind], bool] = {
        ("input.items", "each"): any(node.each is not None for node in nodes),
        ("input.flag", "when"): any(node.when is not None for node in nodes),
    }
    return tuple(path for path, is_read in read.items() if is_read)


def next_version(rng: random.Random, manifest: Manifest, name: str) -> Manifest:
    """A few random changes; what is new is called after `name`."""
    for number in range(rng.randint(1, CHANGES_MAX)):
        nodes = list(manifest.nodes)
        rng.choice(CHANGES)(rng, nodes, f"{name}_{number}")
        changed = replace(manifest, nodes=tuple(nodes), paths=paths_of(nodes))
        manifest = changed if nodes and _is_sound(changed) else manifest
    return manifest


def _is_sound(manifest: Manifest) -> bool:
    """Whether every node stands before the pivot or behind it."""
    pivot = manifest.pivot
    if pivot is None:
        return True
    around = {pivot.name} | manifest.ancestors[pivot.name] | manifest.descendants[pivot.name]
    return around.issuperset(manifest.by_name)


def _add(rng: random.Random, nodes: Nodes, name: str) -> None:
    place, pivot = rng.randint(0, len(nodes)), _pivot_of(nodes)
    before = [node.name for node in nodes[:place]]
    after = set(rng.sample(before, min(len(before), rng.randint(0, 2))))
    behind = pivot is not None and pivot < place
    undone = not behind and rng.random() < 0.6
    if behind and pivot is not None:
        after.add(nodes[pivot].name)
    new = Node(
        name, "step", "retriable" if behind else "compensatable" if undone else "no_undo", after=tuple(sorted(after)),
        handler=Handler(f"do {name}", retry=ONCE), undo=_undo(name) if undone else None,
        when="input.flag" if rng.random() < 0.2 else None, each="input.items" if rng.random() < 0.2 else None,
    )  # fmt: skip
    for at in range(place, len(nodes)):
        if nodes[at].pivot or rng.random() < 0.4:
            nodes[at] = _behind(nodes[at], name)
    nodes.insert(place, new)


def _remove(rng: random.Random, nodes: Nodes, _: str) -> None:
    gone = nodes.pop(rng.randrange(len(nodes)))
    for at, node in enumerate(nodes):
        nodes[at] = replace(node, after=tuple(name for name in node.after if name != gone.name))
    if gone.pivot:
        _without_pivot(nodes)


def _condition(rng: random.Random, nodes: Nodes, _: str) -> None:
    at = rng.randrange(len(nodes))
    if nodes[at].kind == "step" and not nodes[at].pivot:
        nodes[at] = replace(nodes[at], when=None if nodes[at].when else "input.flag")


def _undoing(rng: random.Random, nodes: Nodes, _: str) -> None:
    at = rng.randrange(len(nodes))
    node = nodes[at]
    if node.step_class == "compensatable":
        nodes[at] = replace(node, step_class="no_undo", undo=None)
    elif node.step_class == "no_undo":
        nodes[at] = replace(node, step_class="compensatable", undo=_undo(node.name))


def _pivoting(_: random.Random, nodes: Nodes, name: str) -> None:
    pivot = _pivot_of(nodes)
    if pivot is None:
        after = tuple(node.name for node in nodes)
        nodes.append(Node(name, "step", "pivot", after=after, handler=Handler(f"do {name}", retry=RetryPolicy(()))))
    elif nodes[pivot].kind == "step":  # a child that has a pivot is one
        _without_pivot(nodes)


def _probe(rng: random.Random, nodes: Nodes, name: str) -> None:
    at = rng.randrange(len(nodes))
    if nodes[at].kind == "step" and not nodes[at].transactional:
        nodes[at] = replace(nodes[at], probe=None if nodes[at].probe else Handler(f"ask {name}"))


def _fallback(rng: random.Random, nodes: Nodes, name: str) -> None:
    at = rng.randrange(len(nodes))
    node = nodes[at]
    if node.kind == "step":
        other = Handler(f"fall {name}", transactional=node.transactional)
        nodes[at] = replace(node, fallback=None if node.fallback else other)


def _limits(rng: random.Random, nodes: Nodes, _: str) -> None:
    at = rng.randrange(len(nodes))
    node = nodes[at]
    if node.kind == "step":
        nodes[at] = replace(
            node, schedule_timeout=None if node.schedule_timeout else 3.0, concurrency=rng.choice([None, 1, 2]),
            item_failure=rng.choice(("fail", "leave_out")),
        )  # fmt: skip


def _transaction(rng: random.Random, nodes: Nodes, _: str) -> None:
    at = rng.randrange(len(nodes))
    node = nodes[at]
    if node.handler is not None:
        handler = replace(node.handler, transactional=not node.transactional)
        nodes[at] = replace(node, handler=handler, probe=None, fallback=None)


def _edge(rng: random.Random, nodes: Nodes, _: str) -> None:
    at = rng.randrange(len(nodes))
    if at:
        nodes[at] = _behind(nodes[at], nodes[rng.randrange(at)].name)


def _no_edge(rng: random.Random, nodes: Nodes, _: str) -> None:
    at = rng.randrange(len(nodes))
    node, pivot = nodes[at], _pivot_of(nodes)
    if node.after and not node.pivot:
        gone = rng.choice(node.after)
        if pivot is None or gone != nodes[pivot].name:
            nodes[at] = replace(node, after=tuple(name for name in node.after if name != gone))


CHANGES: Sequence[Callable[[random.Random, Nodes, str], None]] = (
    _add, _remove, _condition, _undoing, _pivoting, _probe, _fallback, _limits, _transaction, _edge, _no_edge,
)  # fmt: skip


def _undo(name: str) -> Handler:
    return Handler(f"undo {name}", retry=ONCE)


def _behind(node: Node, name: str) -> Node:
    return replace(node, after=tuple(dict.fromkeys([*node.after, name])))


def _pivot_of(nodes: Nodes) -> int | None:
    return next((at for at, node in enumerate(nodes) if node.pivot), None)


def _without_pivot(nodes: Nodes) -> None:
    """What was the pivot, and what was behind it, can be turned back now; a wait can be left alone as before."""
    for at, node in enumerate(nodes):
        if node.step_class in ("pivot", "retriable"):
            nodes[at] = replace(node, step_class="child" if node.kind == "child" else "no_undo")

"""Random sagas for the prover: small enough to be walked in every order, and of every shape that there is."""

import random
from collections.abc import Sequence
from dataclasses import replace

from sagas.manifest import Handler, Manifest, Node, PathKind, RetryPolicy
from tests.property.graphs import manifest_of

NODES_MAX = 4
SIZES = (1, 2, 2, 3, 3, 4)
FOREVER = RetryPolicy(delays=(1.0,), forever=True)


def provable_of(rng: random.Random) -> Manifest:
    """A graph of at most five nodes.

    Beside what any random graph has: twins, children, values of steps that decide what is skipped and how many items
    there are, lists of lists, probes that always know, and what is tried for ever.
    """
    wanted = rng.choice(SIZES)
    manifest = manifest_of(rng)
    while len(manifest.nodes) != wanted:
        manifest = manifest_of(rng)
    nodes: list[Node] = []
    for node in manifest.nodes:
        nodes.append(_varied(rng, node, nodes, manifest))
        if rng.random() < 0.15 and not node.pivot and len(manifest.nodes) < NODES_MAX:
            nodes.append(replace(nodes[-1], name=f"{node.name}x"))
    nodes = _with_twins_before_pivot(nodes)
    deadline = 40.0 if rng.random() < 0.5 else None
    return replace(manifest, nodes=tuple(nodes), paths=_paths(nodes), deadline=deadline)


def _with_twins_before_pivot(nodes: Sequence[Node]) -> list[Node]:
    """All that is declared before a pivot stands before it, also the twins."""
    pivot = next((place for place, node in enumerate(nodes) if node.pivot), None)
    if pivot is None:
        return list(nodes)
    before = tuple(node.name for node in nodes[:pivot])
    return [*nodes[:pivot], replace(nodes[pivot], after=before), *nodes[pivot + 1 :]]


def _varied(rng: random.Random, node: Node, earlier: Sequence[Node], manifest: Manifest) -> Node:
    handler, undo = node.handler, node.undo
    if node.kind != "step" or handler is None:
        return node
    if rng.random() < 0.15:
        kind = node.step_class if node.step_class in ("pivot", "retriable") else "child"
        return Node(node.name, "child", kind, after=node.after, child="other", child_input="input")
    if len(manifest.nodes) < NODES_MAX - 1 and not node.pivot and rng.random() < 0.3:
        node = replace(node, each="input.items")
    if rng.random() < 0.1:
        node = replace(node, handler=replace(handler, retry=FOREVER))
    if undo is not None and rng.random() < 0.08:
        node = replace(node, undo=replace(undo, retry=FOREVER))
    if node.probe is not None and rng.random() < 0.3:
        node = replace(node, probe_decides=True)
    if not node.transactional and node.probe is None and rng.random() < 0.1:
        node = replace(node, probe=Handler(f"ask_{node.name}"))
    return _reading(rng, node, earlier, manifest)


def _reading(rng: random.Random, node: Node, earlier: Sequence[Node], manifest: Manifest) -> Node:
    """A node that reads what an earlier one gives."""
    before = [other for other in earlier if other.name in node.after and other.kind in ("step", "child", "signal")]
    if not before or rng.random() < 0.6:
        return node
    source = rng.choice(before)
    draw = rng.random()
    if source.each is not None:
        return replace(node, each=source.name) if not node.pivot else node
    if draw < 0.3 and not node.pivot:
        return replace(node, each=f"{source.name}.items")
    if draw < 0.65:
        return replace(node, when=f"{source.name}.flag", unless=None)
    return replace(node, unless=f"{source.name}.flag", when=None)


def _paths(nodes: Sequence[Node]) -> tuple[tuple[str, PathKind], ...]:
    """All that is read, as sealing finds it."""
    found: dict[tuple[str, PathKind], None] = {}
    for node in nodes:
        for path in (node.when, node.unless):
            if path is not None:
                found[path, "when"] = None
        if node.each is not None:
            found[node.each, "each"] = None
    return tuple(sorted(found))

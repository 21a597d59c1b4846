"""The versions of a saga that run in a simulation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from sagas.manifest import Handler, Manifest, Node, RetryPolicy
from sagas.seal import Sealed

LONGEST_SECONDS = 60.0
"""What may last longer lasts so long: behind it a run would idle for virtual days."""
SLEEP_SECONDS = 4.0
"""A sleep is over while things still go wrong."""
PAUSE = "pause_behind"


def shortened(sealed: Sealed) -> Sealed:
    """The saga whose timeouts, delays and sleeps are no longer than a run can wait for."""
    manifest = replace(sealed.manifest, nodes=tuple(map(_shortened, sealed.manifest.nodes)))
    return Sealed(manifest, sealed.handlers, sealed.saga)


def next_version(manifest: Manifest) -> Manifest:
    """What a team deploys next, and moves open sagas to: with other edges, conditions and limits, and a pause behind.

    Its handlers are those of the old version. A condition is added only where nobody takes the result.
    """
    rng = Random(f"{manifest.name}/next")  # noqa: S311 - a draw, no secret
    conditions = [path for path, kind in manifest.paths if kind == "when" and path.startswith("input.")]
    taken = {one.of for handler in map(_all_of, manifest.nodes) for each in handler for one in each.parameters}
    nodes: list[Node] = []
    for node in manifest.nodes:
        bare = node.kind == "step" and not node.pivot and node.name not in taken
        changed = _changed(rng, node, conditions if bare and node.name != manifest.result_from else [])
        if nodes and rng.random() < 0.3:
            changed = replace(changed, after=tuple(dict.fromkeys([*changed.after, nodes[-1].name])))
        nodes.append(changed)
    if PAUSE not in manifest.by_name and rng.random() < 0.5:
        nodes.append(Node(PAUSE, "sleep", "sleep", after=tuple(manifest.by_name), length=1.0))
    read = {path for node in nodes for path in (node.when, node.unless) if path is not None}
    paths = tuple((path, kind) for path, kind in manifest.paths if kind != "when" or path in read)
    return replace(manifest, nodes=tuple(nodes), paths=paths)


def _changed(rng: Random, node: Node, conditions: Sequence[str]) -> Node:
    """A step with a little more patience, and some of what it had taken away."""
    if node.kind != "step" or node.handler is None:
        return node
    node = replace(node, handler=replace(node.handler, retry=_more(node.handler.retry)))
    if rng.random() < 0.3 and not node.probe_decides:
        node = replace(node, probe=None)
    if rng.random() < 0.3:
        node = replace(node, fallback=None)
    if rng.random() < 0.3:
        node = replace(node, schedule_timeout=1.0 if node.schedule_timeout is None else None)
    if rng.random() < 0.3 and node.each is not None:
        node = replace(node, concurrency=1 if node.concurrency is None else None)
    if rng.random() < 0.3 and (node.when or node.unless):
        return replace(node, when=None, unless=None)
    return replace(node, when=rng.choice(conditions)) if conditions and rng.random() < 0.5 else node


def lacking(sagas: Mapping[str, Sealed], rng: Random) -> dict[str, Sealed]:
    """Sagas some of which lack a step, or are not there at all."""
    found = dict(sagas)
    for name, sealed in sagas.items():
        steps = [node.name for node in sealed.manifest.nodes if node.kind == "step"]
        draw = rng.random()
        if draw < 0.2:
            del found[name]
        elif draw < 0.6 and steps:
            gone = rng.choice(steps)
            kept = {place: bound for place, bound in sealed.handlers.items() if place[0] != gone}
            found[name] = Sealed(sealed.manifest, kept, sealed.saga)
    return found


def _all_of(node: Node) -> list[Handler]:
    return [one for one in (node.handler, node.undo, node.probe, node.fallback) if one is not None]


def _shortened(node: Node) -> Node:
    return replace(
        node,
        handler=_shorter(node.handler),
        undo=_shorter(node.undo),
        probe=_shorter(node.probe),
        fallback=_shorter(node.fallback),
        length=None if node.length is None else min(node.length, SLEEP_SECONDS),
    )


def _shorter(handler: Handler | None) -> Handler | None:
    if handler is None:
        return None
    delays = tuple(min(delay, LONGEST_SECONDS) for delay in handler.retry.delays)
    retry = replace(handler.retry, delays=delays)
    return replace(handler, timeout=min(handler.timeout, LONGEST_SECONDS), retry=retry)


def _more(policy: RetryPolicy) -> RetryPolicy:
    return replace(policy, delays=(*policy.delays, 1.0))

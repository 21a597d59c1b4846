"""Where nothing can be undone, what would be lost, and definitions that no way completes."""

from collections.abc import Iterator, Mapping

from sagas.choices import Point, name_of
from sagas.compensation import needs_undo
from sagas.durations import readable
from sagas.forward import item_count
from sagas.manifest import Manifest
from sagas.state import DONE, Key, State

DOUBTFUL = frozenset({"succeeded", "unknown"})


class Windows:
    """Places without a way back, collected along the ways."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._bare = [node.name for node in manifest.nodes if node.step_class == "no_undo" and node.kind == "step"]
        self._kept: set[str] = set()

    def note(self, state: State) -> None:
        """Keep which steps without an undo have happened, or may have, though the saga turned back."""
        if state.status in ("active", "completed") or len(self._kept) == len(self._bare):
            return
        for (name, _), step in state.steps.items():
            if name in self._bare and step.status in ("succeeded", "unknown"):
                self._kept.add(name)

    def told(self, twins: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
        """The windows, each in words."""
        pivot = self._manifest.pivot
        if pivot is not None:
            behind = [node.name for node in self._manifest.nodes if node.name in self._manifest.behind_pivot]
            yield f"the pivot '{pivot.name}', {'and behind it: ' + ', '.join(behind) if behind else 'which comes last'}"
        kept = {twin for name in self._kept for twin in twins.get(name, (name,))}
        left = [name for name in self._bare if name in kept]
        if left:
            yield f"steps without an undo, left as they are when the saga turns back: {', '.join(left)}"


def what_is_lost(manifest: Manifest, here: Point) -> Iterator[str]:
    """What is wrong at a point with what was done: no rule may ever lead there."""
    state = here.state
    match state.status:
        case "compensated" if not state.waits:
            done = [key for key, step in state.steps.items() if step.status in DOUBTFUL]
            left = [name_of(*key) for key in done if manifest.by_name[key[0]].undo is not None]
            if left:
                yield f"compensated, and {', '.join(left)} {'is' if len(left) == 1 else 'are'} still done"
        case "completed":
            missing = [name_of(*key) for key in _needed(manifest, state) if state.step(*key).status not in DONE]
            if missing:
                yield f"completed, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not done"
        case "compensating" if not here.spoke:
            for (name, _), step in state.steps.items():
                leaning = manifest.descendants[name] & _owed(manifest, state) if step.status == "undoing" else ()
                if leaning:
                    yield f"{name} is undone while {min(leaning)}, which depends on it, is not"
        case _:
            return
    if state.terminal:
        out = [wait for wait in state.waits.values() if wait.kind not in ("operator", "notify")]
        if out:
            yield f"{state.status}, and {out[0].step or 'it'} still waits ({out[0].kind})"


def _needed(manifest: Manifest, state: State) -> Iterator[Key]:
    """All that has ended well in a saga that has completed, item by item."""
    for node in manifest.nodes:
        if node.each is None or state.step(node.name).status == "skipped":
            yield node.name, None
        else:
            yield from ((node.name, item) for item in range(item_count(manifest, state, node)))


def _owed(manifest: Manifest, state: State) -> set[str]:
    """What is not undone yet."""
    nodes = manifest.by_name
    return {
        name for (name, _), step in state.steps.items() if step.status == "undoing" or needs_undo(nodes[name], step)
    }


def pauses(
    manifest: Manifest, of_children: Mapping[str, float], *, back: bool = False
) -> tuple[float, tuple[str, ...]]:
    """Seconds that pauses take at least before a saga completes, with those of its children, and which they are.

    With `back` before no deadline turns it back any more: what stands behind the pivot does not count then, nor a child
    that is the pivot, as its parent waits for its end. What may be left out takes no time.
    """
    ends: dict[str, tuple[float, tuple[str, ...]]] = {}
    for node in manifest.nodes:  # declared before use (def_R3), so one pass is enough
        if back and node.name in manifest.behind_pivot:
            continue
        before = max((ends[name] for name in node.after if name in ends), default=(0.0, ()))
        own = of_children.get(node.child or "", 0.0) if node.kind == "child" else node.length or 0.0
        if own and node.when is None and node.unless is None and not (back and node.pivot):
            before = (before[0] + own, (*before[1], node.name))
        ends[node.name] = before
    return max(ends.values(), default=(0.0, ()))


def never_completed(manifest: Manifest, of_children: Mapping[str, float]) -> Iterator[str]:
    """Pauses before the way back ends that are longer than the saga may take: the deadline always comes first."""
    if manifest.deadline is None:
        return
    longest, names = pauses(manifest, of_children, back=True)
    if longest >= manifest.deadline:
        yield (
            f"no way completes: its pauses take {readable(longest)}, and after {readable(manifest.deadline)} its "
            f"deadline turns it back ({', '.join(names)})"
        )

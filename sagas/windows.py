"""Where nothing can be undone, what would be lost, and definitions that no way completes."""

from collections.abc import Iterator, Mapping

from sagas.choices import Point
from sagas.compensation import needs_undo
from sagas.durations import readable
from sagas.manifest import Manifest
from sagas.state import DONE, State

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
            yield f"behind the pivot '{pivot.name}': {', '.join(behind) or 'nothing follows it'}"
        kept = {twin for name in self._kept for twin in twins.get(name, (name,))}
        left = [name for name in self._bare if name in kept]
        if left:
            yield f"of steps without an undo, which are left as they are when the saga turns back: {', '.join(left)}"


def what_is_lost(manifest: Manifest, here: Point) -> Iterator[str]:
    """What is wrong at a point with what was done: no rule may ever lead there."""
    state = here.state
    match state.status:
        case "compensated" if not state.waits:
            left = [name for name in _done(state) if manifest.by_name[name].undo is not None]
            if left:
                yield f"compensated, and {', '.join(left)} is still done"
        case "completed":
            nodes = [node.name for node in manifest.nodes if node.each is None]
            missing = [name for name in nodes if state.step(name).status not in DONE]
            if missing:
                yield f"completed, and {', '.join(missing)} is not done"
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


def _done(state: State) -> list[str]:
    return list(dict.fromkeys(name for (name, _), step in state.steps.items() if step.status in DOUBTFUL))


def _owed(manifest: Manifest, state: State) -> set[str]:
    """What is not undone yet."""
    nodes = manifest.by_name
    return {
        name for (name, _), step in state.steps.items() if step.status == "undoing" or needs_undo(nodes[name], step)
    }


def never_completed(manifest: Manifest) -> Iterator[str]:
    """Pauses before the way back ends that are longer than the saga may take: the deadline always comes first."""
    if manifest.deadline is None:
        return
    ends: dict[str, float] = {}
    for node in manifest.nodes:  # declared before use (def_R3), so one pass is enough
        if node.name in manifest.behind_pivot:
            continue
        own = node.length or 0.0 if node.kind == "sleep" and node.when is None and node.unless is None else 0.0
        ends[node.name] = own + max((ends[before] for before in node.after if before in ends), default=0.0)
    longest = max(ends.values(), default=0.0)
    if longest >= manifest.deadline:
        yield (
            f"no way completes: its pauses take {readable(longest)}, and after {readable(manifest.deadline)} its "
            "deadline turns it back"
        )

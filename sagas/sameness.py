"""When two points of a way are one to the prover: nothing that can happen differs but names, times and numbers.

`Full` merges what differs in times and numbers of attempts alone. `Reduced` also forgets what no rule looks at any
more, and which of several steps of one kind and place it was (docs/decisions/0020).
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from sagas.choices import LONG_SECONDS, Point
from sagas.compensation import PROBES_MAX, needs_undo
from sagas.manifest import Handler, Manifest, Node
from sagas.state import DONE, OPEN, State, StepState

Local = tuple[object, ...]
Key = tuple[object, ...]
Locals = Mapping[str, tuple[Local, ...]]
SEVERAL = 2
NOTHING: Set[str] = frozenset()
BLOCKED: Local = ("owed", False, False)
SETTLED: Local = (True, "settled")
UNDONE: Local = ("undone", False, False)
"""A late word makes it one to be undone again; that matters while what it stands on is still to be undone."""


class Sameness(Protocol):
    """Gives points that are one the same key."""

    def key(self, here: Point) -> Key:
        """What the point has in common with those that lead to the same."""
        ...

    def parts(self, here: Point) -> Sequence[tuple[Key, Set[str]]]:
        """Points that together lead to what the point leads to: the key of each, and the steps to leave out of it."""
        ...


class Full:
    """Points differ in whatever is recorded but times and numbers."""

    def key(self, here: Point) -> Key:
        """Everything but times and numbers."""
        state = here.state
        steps = [
            (name, -1 if item is None else item, step.status, step.tried, step.maybe, step.fallback, step.probes,
             step.signals > 0, step.reason or "", _may_run(step, here.now), _is_tried_again(step))
            for (name, item), step in state.steps.items()
        ]  # fmt: skip
        waits = sorted((w.kind, w.step or "", w.item or 0, w.role, w.cause or "") for w in state.waits.values())
        facts = tuple(sorted(state.facts.items()))
        wants_back = state.status == "active" and state.back_cause is not None
        return state.status, wants_back, tuple(sorted(steps)), tuple(waits), facts, here.spoke

    def parts(self, here: Point) -> Sequence[tuple[Key, Set[str]]]:
        """The point itself."""
        return [(self.key(here), NOTHING)]


class Reduced:
    """Points differ only in what a rule may still look at.

    `started`: another saga starts it, so that it may turn back once it has completed.
    """

    def __init__(self, manifest: Manifest, *, started: bool = False) -> None:
        self._manifest = manifest
        self._started = started

    @cached_property
    def twins(self) -> Mapping[str, tuple[str, ...]]:
        """For each node those that nothing tells from it but their names, itself among them."""
        groups: dict[object, list[str]] = {}
        for node in self._manifest.nodes:
            groups.setdefault(self._place(node), []).append(node.name)
        return {name: tuple(names) for names in groups.values() for name in names}

    def key(self, here: Point) -> Key:
        """What the rules may still look at; twins and items in any order."""
        return (*self._frame(here), here.asks, self._together(here.state, self._locals(here), NOTHING))

    def parts(self, here: Point) -> Sequence[tuple[Key, Set[str]]]:
        """Where nothing turns back any more that goes forward: branches that do not lean on one another, each alone.

        Nothing that happens to one of them changes anything for the others. What waits for nothing is settled.
        """
        state, found = here.state, self._locals(here)
        live: list[str] = []
        if state.status == "compensating":
            live = [name for name, many in found.items() if many]
        elif state.status == "active" and _has_passed(self._manifest, state):
            live = [name for name in found if name in self._manifest.behind_pivot and found[name] != (SETTLED,)]
        parts: list[set[str]] = []
        for name in live:  # declared after all that it leans on
            before, part, apart = self._manifest.ancestors[name], {name}, list[set[str]]()
            for other in parts:
                if other.isdisjoint(before):
                    apart.append(other)
                else:
                    part |= other
            parts = [*apart, part]
        asked = _asked(state)
        stuck = state.status == "compensating" and any(not asked.isdisjoint(part) for part in parts)
        alone: list[Set[str]] = [NOTHING]
        if len(parts) >= SEVERAL and not stuck:
            waiting = {wait.step for wait in state.waits.values()}
            every = set[str]().union(*parts)
            alone = [every - part for part in parts if not waiting.isdisjoint(part)] or alone
        frame = self._frame(here)
        return [
            ((*frame, here.asks or not asked.isdisjoint(others), self._together(state, found, others)), others)
            for others in alone
        ]

    def _frame(self, here: Point) -> Key:
        """What the key of a point says of the saga as a whole."""
        state = here.state
        passed = _has_passed(self._manifest, state)  # then neither a deadline nor a cancel changes anything
        of_saga = [wait.kind for wait in state.waits.values() if wait.step is None]
        if passed:
            of_saga = [kind for kind in of_saga if kind != "deadline"]
        forward = self._is_forward(state)
        facts = tuple(sorted(item for item in state.facts.items() if forward or item[0].startswith("each:")))
        wants_back = forward and not passed and state.back_cause is not None
        stuck = not forward and any(step.status == "undo_failed" for step in state.steps.values())
        return state.status, wants_back, stuck, tuple(sorted(of_saga)), facts, here.spoke

    def _together(self, state: State, locals_: Locals, others: Set[str]) -> Key:
        """What the key of a point says of steps, without these."""
        if state.status == "compensating" and len(self._groups) == len(self._manifest.nodes):
            return tuple([(name, many) for name, many in locals_.items() if many and name not in others])
        if others:
            left: tuple[Local, ...] = (SETTLED,) if state.status == "active" else ()
            locals_ = {name: left if name in others else many for name, many in locals_.items()}
        return tuple([
            locals_[group[0]] if len(group) == 1 else tuple(sorted(locals_[name] for name in group))
            for group in self._groups
        ])  # fmt: skip

    def _locals(self, here: Point) -> Locals:
        waits: dict[tuple[str, int | None], list[str]] = {}
        for wait in here.state.waits.values():
            if wait.step is not None:
                waits.setdefault((wait.step, wait.item), []).append(f"{wait.kind}/{wait.role}/{wait.cause}")
        return self._forward(here, waits) if self._is_forward(here.state) else self._backward(here, waits)

    def _is_forward(self, state: State) -> bool:
        return state.status == "active" or (self._started and state.status == "completed")

    @cached_property
    def _groups(self) -> tuple[tuple[str, ...], ...]:
        return tuple(dict.fromkeys(self.twins.values()))

    def _place(self, node: Node) -> object:
        """What the rules see of a node, but for its name."""
        manifest = self._manifest
        read = {part for path, _ in manifest.paths for part in path.split(".")[:1]} | {n.each for n in manifest.nodes}
        if node.name in read:
            return node.name  # others read what it gives
        needed = tuple(other.name for other in manifest.nodes if node.name in other.after)
        handlers = tuple(map(_seen_of, (node.handler, node.undo, node.probe, node.fallback)))
        bare = replace(node, name="", handler=None, undo=None, probe=None, fallback=None, after=(), queue="", gives="",
                       priority="normal", result_schema={}, child_input=None)  # fmt: skip
        return repr(bare), frozenset(node.after), needed, handlers

    def _forward(self, here: Point, waits: Mapping[tuple[str, int | None], list[str]]) -> dict[str, tuple[Local, ...]]:
        found: dict[str, list[Local]] = {node.name: [] for node in self._manifest.nodes}
        passed = _has_passed(self._manifest, here.state)
        for key, step in here.state.steps.items():
            if passed and key[1] is None and _is_over(step, here.now) and key not in waits:
                found[key[0]].append(SETTLED)
                continue
            if step.status == "succeeded":  # no rule asks how
                found[key[0]].append(
                    (key[1] is None, "succeeded", _may_run(step, here.now), *sorted(waits.get(key, ())))
                )
                continue
            found[key[0]].append(
                (key[1] is None, step.status, step.tried, step.maybe, step.fallback, step.probes >= PROBES_MAX,
                 step.signals > 0, _may_run(step, here.now), _is_tried_again(step), *sorted(waits.get(key, ())))
            )  # fmt: skip
        return {name: tuple(sorted(many)) for name, many in found.items()}

    def _backward(self, here: Point, waits: Mapping[tuple[str, int | None], list[str]]) -> dict[str, tuple[Local, ...]]:
        state = here.state
        found: dict[str, tuple[Local, ...]] = dict.fromkeys(self._manifest.by_name, ())
        stuck: list[str] = []
        windows = False
        for key, step in state.steps.items():
            window = _may_run(step, here.now)
            windows = windows or window
            if step.status == "undo_failed":
                stuck.append(key[0])
            local = self._local(key[0], step, waits.get(key, ()), window=window, spoke=here.spoke)
            if local is not None:
                found[key[0]] = (*found[key[0]], local)
        busy = {name for name, many in found.items() if many and any(one[0] != "undone" for one in many)}
        for name, many in found.items():
            if many and UNDONE in many and busy.isdisjoint(self._manifest.ancestors[name]):
                found[name] = tuple(one for one in many if one != UNDONE)
        if stuck and not windows:
            for name in {name for one in stuck for name in self._manifest.ancestors[one]}:
                found[name] = tuple(one for one in found[name] if one != BLOCKED)
        return {name: many if len(many) < SEVERAL else tuple(sorted(many)) for name, many in found.items()}

    def _local(self, name: str, step: StepState, open_: Sequence[str], *, window: bool, spoke: bool) -> Local | None:
        """What the way back may still look at of a step; nothing where it is settled, or never will be."""
        node, status = self._manifest.by_name[name], step.status
        if status in OPEN:
            return (status, step.maybe, window, *sorted(open_))
        if status == "undo_failed":
            return None
        if status == "undone" and not open_:
            speaks = not (spoke or node.transactional or node.handler is None)
            return ("undone", window, False) if speaks else None
        asks = status == "unknown" and node.probe is not None and step.probes < PROBES_MAX
        if needs_undo(node, step) or status == "undoing" or open_ or window:
            done = status in ("succeeded", "failed", "unknown")
            return ("owed" if done else status, asks, window, *sorted(open_))
        return None


def without(here: Point, others: Set[str]) -> Point:
    """The point as if these steps were settled: gone on the way back, left out on the way forward."""
    if not others:
        return here
    state = here.state
    steps = {key: step for key, step in state.steps.items() if key[0] not in others}
    if state.status == "active":
        steps |= {(name, None): StepState(status="skipped") for name in others}
    waits = {number: wait for number, wait in state.waits.items() if wait.step not in others}
    return replace(here, state=replace(state, steps=steps, waits=waits), asks=_asks(here, others))


def _asks(here: Point, others: Set[str]) -> bool:
    """Whether an operator is asked about what is left out."""
    return here.asks or bool(others and not _asked(here.state).isdisjoint(others))


def _asked(state: State) -> set[str]:
    return {wait.step for wait in state.waits.values() if wait.kind == "operator" and wait.step is not None}


def _is_over(step: StepState, now: float) -> bool:
    """Whether no rule looks at it any more behind the pivot, nor a late word."""
    return not _may_run(step, now) and (step.status == "succeeded" or (step.status == "skipped" and not step.maybe))


def _has_passed(manifest: Manifest, state: State) -> bool:
    return manifest.pivot is not None and state.step(manifest.pivot.name).status in DONE


def _may_run(step: StepState, now: float) -> bool:
    return step.maybe_at > 0 and step.maybe_at + LONG_SECONDS / 2 > now


def _is_tried_again(step: StepState) -> bool:
    """Whether a step that nobody knows of is tried again once its probe says that it did not happen."""
    return step.status == "unknown" and step.error is not None and bool(step.error.get("retryable", True))


def _seen_of(handler: Handler | None) -> object:
    if handler is None:
        return None
    return handler.transactional, handler.timeout, handler.retry.forever


def ends_of(state: State) -> tuple[tuple[str, str], ...]:
    """Whom an operator is asked about, and why: (cause, step)."""
    asked = {(wait.cause or "", wait.step or "") for wait in state.waits.values() if wait.kind == "operator"}
    return tuple(sorted(asked))

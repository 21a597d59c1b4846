"""Every way through a definition, walked with the real rules: each ends, or it is named where one does not.

A way is a choice at each point: a command succeeds, fails for good, or nobody knows; an undo gives up; a probe says
this or that; a wait is answered or not; a child completes or not; and once on a way each, somebody cancels and a worker
that was given up speaks late. Retries are left out: they only lead to one of these. States that differ in nothing but
times and numbers of attempts are one, and while a saga turns back one order of its commands stands for all. A way hangs
when only a cancel, a signal or a late word could still end it.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal, cast

from sagas.decide import decide
from sagas.events import Failure, Json
from sagas.inputs import Cancel, ChildEnds, Due, Input, Outcome, Send, Start
from sagas.manifest import Handler, Manifest, Node, RetryPolicy
from sagas.state import COMMAND_KINDS, State, Wait, is_start_limit

SAGA = "00000000-0000-7000-8000-000000000000"
STATES_MAX = 200_000
LONG_SECONDS = 1e7
NEVER = RetryPolicy(delays=())
FAILED: Failure = {"type": "Permanent", "code": "permanent", "message": "it fails for good", "attempt": 1,
                   "retryable": False, "happened": False}  # fmt: skip
VAGUE: Failure = {**FAILED, "message": "nobody knows", "happened": None}
OPTIONS: Mapping[str, tuple[Json, ...]] = {"when": (True, False), "each": ([0, 1], []), "moment": (None,)}
BY_CHANCE = ("somebody ", "a worker that was given up ")
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Hole:
    """A way that does not end well: what is wrong, and the choices that lead there."""

    what: str
    way: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What was walked. `ends` counts the states in which ways end, by how; `windows` are places without a way back."""

    saga: str
    states: int
    choices: int
    ends: Mapping[str, int]
    windows: tuple[str, ...]
    holes: tuple[Hole, ...]
    complete: bool

    @property
    def good(self) -> bool:
        """Whether every way was walked, and ends."""
        return self.complete and not self.holes


@dataclass(frozen=True, slots=True)
class _Here:
    """A point on a way: the state, the clock, and what may still happen once."""

    state: State
    now: float
    cancelled: bool = False
    zombie: Wait | None = None
    spoke: bool = False


@dataclass
class _Walk:
    """All points that were found, how each was reached, and where each leads."""

    seen: dict[Key, _Here] = field(default_factory=dict[Key, _Here])
    reached: dict[Key, tuple[Key, str] | None] = field(default_factory=dict[Key, "tuple[Key, str] | None"])
    leads: dict[Key, list[Key]] = field(default_factory=dict[Key, list[Key]])
    """Where a point leads by itself: what somebody may do or not do does not count."""

    def way(self, key: Key) -> tuple[str, ...]:
        """The choices that lead to a point."""
        found: list[str] = []
        step = self.reached[key]
        while step is not None:
            key, choice = step
            found.append(choice)
            step = self.reached[key]
        return tuple(reversed(found))


def prove(manifest: Manifest, limit: int = STATES_MAX) -> Proof:
    """Walk every way through a definition, at most `limit` states."""
    plain = _without_retries(manifest)
    walk, choices = _Walk(), 0
    waiting: deque[Key] = deque()

    def meet(here: _Here, origin: tuple[Key, str] | None) -> Key:
        key = _key(plain, here)
        if key not in walk.seen:
            walk.seen[key], walk.reached[key], walk.leads[key] = here, origin, []
            waiting.append(key)
        return key

    for value in _values(plain, "input"):
        empty = _Here(State(SAGA), 0.0)
        meet(_after(plain, empty, Start(SAGA, plain, value)), None)
    while waiting and len(walk.seen) < limit:
        key = waiting.popleft()
        for choice, here in _choices(plain, walk.seen[key]):
            choices += 1
            met = meet(here, (key, choice))
            if not choice.startswith(BY_CHANCE):
                walk.leads[key].append(met)
    complete = not waiting
    ends = Counter(_ending(walk.seen[key].state) for key, leads in walk.leads.items() if _rests(walk.seen[key], leads))
    holes = tuple(_holes(plain, walk)) if complete else ()
    return Proof(
        manifest.name, len(walk.seen), choices, dict(sorted(ends.items())), tuple(_windows(manifest)), holes, complete
    )


def _without_retries(manifest: Manifest) -> Manifest:
    def once(handler: Handler | None) -> Handler | None:
        return None if handler is None else replace(handler, retry=NEVER)

    nodes = tuple(
        replace(node, handler=once(node.handler), undo=once(node.undo), probe=once(node.probe),
                fallback=once(node.fallback))
        for node in manifest.nodes
    )  # fmt: skip
    return replace(manifest, nodes=nodes)


def _choices(manifest: Manifest, here: _Here) -> Iterator[tuple[str, _Here]]:
    """What may happen next, each with where it leads."""
    waits = list(_moving(here.state))
    for wait in waits:
        node = manifest.by_name.get(wait.step or "")
        where = f"{wait.step}" if wait.item is None else f"{wait.step}[{wait.item}]"
        if wait.kind in COMMAND_KINDS and node is not None:
            yield from _of_command(manifest, here, wait, node, where)
        elif wait.kind == "signal" and node is not None:
            for value in _values(manifest, node.name):
                yield f"somebody sends {where}", _after(manifest, here, Send(SAGA, node.name, value, "s"))
            yield f"nobody sends {where}", _due(manifest, here, wait)
        elif wait.kind == "child" and node is not None:
            yield from _of_child(manifest, here, node)
        elif wait.due_at is not None and wait.kind != "operator":
            yield f"time passes ({wait.kind} {where})".replace(" None", ""), _due(manifest, here, wait)
    if not here.cancelled and here.state.status == "active":
        cancel = Cancel(SAGA, "somebody cancels", "cancel")
        yield "somebody cancels", replace(_after(manifest, here, cancel), cancelled=True)
    if here.zombie is not None and not here.spoke and _matters(here, here.zombie, waits):
        word = replace(_word(here.zombie, "succeeded"), result=None)
        choice = f"a worker that was given up did {here.zombie.step} all the same"
        yield choice, replace(_after(manifest, here, word), spoke=True, zombie=None)


def _moving(state: State) -> Iterator[Wait]:
    """The waits whose end is looked at: all of them; of a saga that turns back one, as their order changes nothing."""
    waits = [wait for wait in state.waits.values() if wait.kind != "operator" and not is_start_limit(wait)]
    if state.status != "compensating":
        yield from waits
        return
    commands = [wait for wait in waits if wait.kind in COMMAND_KINDS or wait.kind == "child"]
    yield from (commands or waits)[:1]


def _matters(here: _Here, zombie: Wait, waits: Sequence[Wait]) -> bool:
    """Whether a late word about a step may make a difference now: while others are judged it makes none."""
    about = any((wait.step, wait.item) == (zombie.step, zombie.item) for wait in waits)
    return here.state.status != "compensating" or about or not waits


def _of_command(manifest: Manifest, here: _Here, wait: Wait, node: Node, where: str) -> Iterator[tuple[str, _Here]]:
    what = where if wait.role == "step" else f"{wait.role} of {where}"
    if wait.role == "probe":
        yield f"{what}: it happened", _after(manifest, here, replace(_word(wait, "succeeded"), happened=True))
        yield f"{what}: it did not", _after(manifest, here, replace(_word(wait, "succeeded"), closed=True))
        if node.probe is not None and not node.probe_decides:
            vague = replace(_word(wait, "unknown"), cause="error", error=VAGUE)
            yield f"{what} cannot tell", _after(manifest, here, vague)
        return
    values = [None] if wait.role == "undo" else _values(manifest, node.name)
    for value in values:
        yield f"{what} succeeds", _after(manifest, here, replace(_word(wait, "succeeded"), result=value))
    yield f"{what} fails for good", _after(manifest, here, replace(_word(wait, "failed"), error=FAILED))
    if wait.role == "step" and (limit := here.state.wait_of(wait.step, wait.item, "deadline")) is not None:
        yield f"no worker begins {what}", _due(manifest, here, limit, "withdrawn")
    if wait.role == "undo":
        return
    after = _after(manifest, here, replace(_word(wait, "unknown"), cause="error", error=VAGUE))
    keeps = here.zombie is None and not here.spoke and not node.transactional
    yield f"nobody knows whether {what} happened", replace(after, zombie=wait) if keeps else after


def _of_child(manifest: Manifest, here: _Here, node: Node) -> Iterator[tuple[str, _Here]]:
    step = here.state.step(node.name)

    def says(status: str, value: Json = None) -> _Here:
        word = ChildEnds(SAGA, f"{status}/{step.attempt}", child_id=step.child or "", step=node.name,
                         attempt=step.attempt, status=status, result=value)  # fmt: skip
        return _after(manifest, here, word)

    if step.status == "running":
        for value in _values(manifest, node.name):
            yield f"the child {node.name} completes", says("completed", value)
    yield f"the child {node.name} is compensated", says("compensated")


def _after(manifest: Manifest, here: _Here, word: Input) -> _Here:
    return replace(here, state=decide(manifest, here.state, word, here.now).state)


def _due(manifest: Manifest, here: _Here, wait: Wait, verdict: Literal["fire", "withdrawn"] = "fire") -> _Here:
    """Long enough has passed that nothing else keeps the saga waiting for a time."""
    later = replace(here, now=max(here.now, wait.due_at or 0.0) + LONG_SECONDS)
    return _after(manifest, later, Due(SAGA, wait.opened_by, verdict))


def _word(wait: Wait, kind: Any) -> Outcome:
    return Outcome(SAGA, wait.opened_by, wait.attempt, wait.step or "", wait.item, wait.role, kind)


def _values(manifest: Manifest, source: str) -> Sequence[Json]:
    """Values of a node, or of the input, that differ in all that paths read of them."""
    read = [(path.split(".")[1:], kind) for path, kind in manifest.paths if path.split(".")[0] == source]
    found: list[Json] = []
    for chosen in product(*(OPTIONS[kind] for _, kind in read)):
        whole: Json = {}
        for (fields, _), option in zip(read, chosen, strict=True):
            whole = _put(whole, fields, option)
        found.append(whole)
    return found


def _put(whole: Json, fields: Sequence[str], value: Json) -> Json:
    if not fields:
        return value
    known = cast("dict[str, Json]", whole) if isinstance(whole, dict) else {}
    return {**known, fields[0]: _put(known.get(fields[0], {}), fields[1:], value)}


def _key(manifest: Manifest, here: _Here) -> Key:
    """What two points have in common that lead to the same."""
    state = here.state
    steps = tuple(
        (name, step.status, step.tried, step.maybe, step.fallback, step.probes, step.signals > 0, step.result is None,
         step.reason, step.maybe_at + LONG_SECONDS / 2 > here.now if step.maybe_at else False)
        for name, step in sorted(state.steps.items(), key=lambda entry: (entry[0][0], entry[0][1] or 0))
    )  # fmt: skip
    waits = tuple(sorted((w.kind, w.step or "", w.item or 0, w.role, w.cause or "") for w in state.waits.values()))
    facts = tuple(sorted(state.facts.items()))
    zombie = (here.zombie.step, here.zombie.item) if here.zombie is not None else None
    forward = state.status == "active"  # what no longer matters once it has turned back is left out
    wanted_back = forward and state.back_cause is not None
    return state.status, wanted_back, steps, waits, forward and facts, forward and here.cancelled, zombie, here.spoke


def _rests(here: _Here, leads: Sequence[Key]) -> bool:
    return not leads and (here.state.terminal or _desks(here.state) > 0)


def _desks(state: State) -> int:
    return sum(wait.kind == "operator" for wait in state.waits.values())


def _ending(state: State) -> str:
    asked = sorted({f"{wait.cause} {wait.step}" for wait in state.waits.values() if wait.kind == "operator"})
    if asked:
        return f"an operator decides: {', '.join(asked)}"
    return state.status


def _holes(manifest: Manifest, walk: _Walk) -> Iterator[Hole]:
    """States from which nothing leads to an end, and ends that keep what should be undone."""
    good = {key for key, here in walk.seen.items() if _ends_well(here.state)}
    back: dict[Key, list[Key]] = {}
    for key, leads in walk.leads.items():
        for other in leads:
            back.setdefault(other, []).append(key)
    reaching, waiting = set(good), list(good)
    while waiting:
        for key in back.get(waiting.pop(), ()):
            if key not in reaching:
                reaching.add(key)
                waiting.append(key)
    lost = [key for key in walk.seen if key not in reaching]
    if lost:
        shortest = min(lost, key=lambda key: len(walk.way(key)))
        yield Hole("it never ends", walk.way(shortest))
    for key, here in walk.seen.items():
        if here.state.status != "compensated" or here.state.waits:
            continue
        if kept := [node.name for node in manifest.nodes if node.undo is not None and _is_kept(here.state, node)]:
            yield Hole(f"compensated, and {', '.join(kept)} is still done", walk.way(key))


def _ends_well(state: State) -> bool:
    return state.terminal or bool(_desks(state))


def _is_kept(state: State, node: Node) -> bool:
    return any(name == node.name and step.status in ("succeeded", "unknown") for (name, _), step in state.steps.items())


def _windows(manifest: Manifest) -> Iterator[str]:
    pivot = manifest.pivot
    if pivot is not None:
        behind = [node.name for node in manifest.nodes if node.name in manifest.behind_pivot]
        yield f"behind the pivot '{pivot.name}': {', '.join(behind) or 'nothing'}"
    bare = [node.name for node in manifest.nodes if node.step_class == "no_undo" and node.kind == "step"]
    if bare:
        yield f"without an undo, and left as they are when the saga turns back: {', '.join(bare)}"

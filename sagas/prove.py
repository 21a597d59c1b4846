"""Every way through a definition, walked with the real rules: each ends, or it is named where one does not.

A way is a choice at each point (`sagas.choices`); points that differ in nothing that matters are one
(`sagas.sameness`). What is left out, and why nothing is lost with it, is in docs/decisions/0020. A way ends completed,
compensated, or with an operator who is asked by name. It hangs when only a cancel, a signal or a late word could still
end it, or when it can go round for ever; it loses when it ends and something is left that nobody was told of.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sagas.choices import BY_CHANCE, LONG_SECONDS, Choices, Point
from sagas.manifest import Manifest
from sagas.records import record
from sagas.remedies import can_end
from sagas.rounds import rounds
from sagas.sameness import Full, Key, Reduced, Sameness, ends_of, without
from sagas.state import State, is_start_limit
from sagas.windows import Windows, never_completed, pauses, what_is_lost

STATES_MAX = 200_000
ENDS = ("completed", "compensated", "failed")
REDUCTIONS = (
    "retries that end are left out: they only lead to success, failure or nobody knows",
    "states that differ in times and in numbers of attempts are one",
    "while a saga turns back, and once its pivot has passed, one order of what is under way stands for all",
    "turning back, and behind the pivot, branches that do not lean on one another are walked each alone",
    "turning back, what is settled is no longer told apart, nor what can never be undone before an operator decides",
    "going forward, until the pivot begins, branches that do not lean on one another move one after the other",
    "going forward, what nobody knows and what its probe says of it are one move",
    "a late word is looked at where it leads to something new",
    "steps, and items, that differ in name only are one another's stand-ins",
)


@record
class Hole:
    """A way that does not end well: what is wrong, and the choices that lead there."""

    what: str
    way: tuple[str, ...]


@record
class Proof:
    """What was walked.

    `ends` are the statuses in which ways end or, failed, rest; `asked` says what operators are asked, by cause, of
    which steps; `windows` are places without a way back; `pauses` are the seconds that it takes at least to complete.
    `above` would be holes, did not the saga that starts this one turn it back: where it has a deadline, they are none.
    """

    saga: str
    states: int
    choices: int
    ends: tuple[str, ...]
    asked: Mapping[str, tuple[str, ...]]
    windows: tuple[str, ...]
    holes: tuple[Hole, ...]
    complete: bool
    reductions: tuple[str, ...]
    pauses: float = 0.0
    above: tuple[Hole, ...] = ()

    @property
    def good(self) -> bool:
        """Whether every way was walked, and ends."""
        return self.complete and not self.holes


@dataclass
class _Walk:
    """All points that were found, how each was reached, and where each leads."""

    same: Sameness
    seen: dict[Key, Point] = field(default_factory=dict[Key, Point])
    reached: dict[Key, tuple[Key, str] | None] = field(default_factory=dict[Key, "tuple[Key, str] | None"])
    leads: dict[Key, list[tuple[Key, str]]] = field(default_factory=dict[Key, "list[tuple[Key, str]]"])
    """Where a point leads by itself: what somebody may do or not do does not count."""
    waiting: deque[Key] = field(default_factory=deque[Key])
    ends: set[str] = field(default_factory=set[str])
    asked: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    lost: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def way(self, key: Key) -> tuple[str, ...]:
        """The choices that lead to a point."""
        found: list[str] = []
        step = self.reached[key]
        while step is not None:
            key, choice = step
            found.append(choice)
            step = self.reached[key]
        return tuple(reversed(found))

    def meet(self, here: Point, origin: tuple[Key, str] | None) -> Sequence[Key]:
        """Come to a point, by a choice at another; its parts are walked each alone."""
        parts = self.same.parts(here)
        for key, others in parts:
            if key not in self.seen:
                self.seen[key], self.reached[key], self.leads[key] = without(here, others), origin, []
                self.waiting.append(key)
        return [key for key, _ in parts]

    def note(self, manifest: Manifest, here: Point, origin: tuple[Key, str]) -> None:
        """Keep what a point says of ends, and what is lost there, before it is taken for another."""
        state = here.state
        if not here.asks and (state.terminal or state.status == "failed"):
            self.ends.add(state.status)
        asked = ends_of(state)
        self.asked.update(asked)
        for what in what_is_lost(manifest, here):
            if what not in self.lost:
                self.lost[what] = (*self.way(origin[0]), origin[1])


def prove(
    manifest: Manifest, limit: int = STATES_MAX, *, reduced: bool = True, children: Mapping[str, Proof] | None = None,
    started: bool = False,
) -> Proof:  # fmt: skip
    """Walk every way through a definition, at most `limit` states.

    `children` are the proofs of the sagas that it starts, by name: where one of them has a hole that no deadline of
    this one ends, this has one. `started`: another saga starts this one, and may turn it back once it has completed.
    Not `reduced`, every order is walked and little is taken for the same: slow, and with the same result.
    """
    children = children or {}
    of_children = {name: child.pauses for name, child in children.items()}
    choices = Choices.of(manifest, reduced=reduced, started=started)
    plain = choices.manifest
    same = Reduced(plain, started=started) if reduced else Full()
    walk, windows, count = _Walk(same), Windows(manifest), 0
    for here in choices.starts():
        walk.meet(here, None)
    while walk.waiting and len(walk.seen) < limit:
        key = walk.waiting.popleft()
        for choice, here in choices.at(walk.seen[key]):
            count += 1
            met = walk.meet(here, (key, choice))
            walk.note(plain, here, (key, choice))
            for end, way in choices.at_the_end(here):
                walk.note(plain, end, (key, "; ".join((choice, *way))))
            windows.note(here.state)
            if not choice.startswith(BY_CHANCE):
                walk.leads[key] += [(one, choice) for one in met]
    complete = not walk.waiting
    resting = {node.name for node in manifest.nodes if (one := children.get(node.child or "")) and one.asked}
    walk.asked.update(("child_rests", name) for name in resting)
    holes = [Hole(what, ()) for what in never_completed(manifest, of_children)]
    above: list[Hole] = []
    for hole, ends_above in [*_of_children(manifest, children), *(_holes(plain, walk) if complete else ())]:
        (above if ends_above and started else holes).append(hole)
    twins: Mapping[str, tuple[str, ...]] = same.twins if isinstance(same, Reduced) else {}
    return Proof(
        saga=manifest.name, states=len(walk.seen), choices=count, ends=tuple(end for end in ENDS if end in walk.ends),
        asked=_by_cause(manifest, walk.asked, twins), windows=tuple(windows.told(twins)),
        holes=tuple(holes), complete=complete, reductions=REDUCTIONS if reduced else REDUCTIONS[:2],
        pauses=pauses(manifest, of_children)[0], above=tuple(above),
    )  # fmt: skip


def _by_cause(
    manifest: Manifest, asked: set[tuple[str, str]], twins: Mapping[str, tuple[str, ...]]
) -> Mapping[str, tuple[str, ...]]:
    names = {(cause, twin) for cause, step in asked for twin in twins.get(step, (step,))}
    order = [*manifest.by_name, ""]
    return {
        cause: tuple(sorted((step for other, step in names if other == cause), key=order.index))
        for cause in sorted({cause for cause, _ in names})
    }


def _of_children(manifest: Manifest, children: Mapping[str, Proof]) -> Iterator[tuple[Hole, bool]]:
    """Holes of children, and whether each ends once this saga is turned back; its own deadline leaves none of these."""
    for node in manifest.nodes:
        child = children.get(node.child or "")
        if child is None:
            continue
        waits, turns_back = f"'{node.name}' waits for its child '{child.saga}', which has", node.step_class == "child"
        if not child.complete:
            yield Hole(f"{waits} too many states to be proved", ()), False
        found = [(hole, False) for hole in child.holes]
        if not (turns_back and manifest.deadline is not None):
            found += [(hole, turns_back and manifest.pivot is None) for hole in child.above]
        for hole, ends_above in found:
            yield Hole(f"{waits} a hole of its own: {hole.what}", hole.way), ends_above


def _holes(manifest: Manifest, walk: _Walk) -> Iterator[tuple[Hole, bool]]:
    """States from which nothing leads to an end, ways that go round for ever, and ends that lose something.

    With each whether it ends once the saga that started this one turns it back.
    """
    good = {key for key, here in walk.seen.items() if _ends_well(here)}
    back: dict[Key, list[Key]] = {}
    for key, leads in walk.leads.items():
        for other, _ in leads:
            back.setdefault(other, []).append(key)
    reaching, waiting = set(good), list(good)
    while waiting:
        for key in back.get(waiting.pop(), ()):
            if key not in reaching:
                reaching.add(key)
                waiting.append(key)
    hanging = [walk.way(key) for key in walk.seen if key not in reaching]
    if hanging:
        yield Hole("it never ends", min(hanging, key=len)), False
    untold = [key for key in walk.seen if key not in good]
    endless = dict.fromkeys(key for key in untold if not _is_timed(manifest, walk.seen[key].state))
    for what, way, key in rounds(walk.leads, endless, walk.way):
        forward = walk.seen[key].state.status == "active" and manifest.pivot is None
        yield Hole(f"it can go on for ever, and nobody is told: {what}", way), forward
    yield from ((Hole(what, way), False) for what, way in {**walk.lost, **_deaf(manifest, walk)}.items())


def _deaf(manifest: Manifest, walk: _Walk) -> dict[str, tuple[str, ...]]:
    """Desks where every command is refused, though nothing may still be running: the shortest way to each."""
    found: dict[str, tuple[str, ...]] = {}
    for key, here in walk.seen.items():
        for desk in [wait for wait in here.state.waits.values() if wait.kind == "operator"]:
            what = f"nothing that an operator may say of '{desk.step}' is taken ({desk.cause})"
            if what not in found and not can_end(manifest, here.state, desk, here.now + LONG_SECONDS):
                found[what] = walk.way(key)
    return found


def _ends_well(here: Point) -> bool:
    return here.state.terminal or here.asks or any(wait.kind == "operator" for wait in here.state.waits.values())


def _is_timed(manifest: Manifest, state: State) -> bool:
    """Whether time alone turns the saga back: a deadline, or a signal that is not waited for any longer."""
    if state.status != "active":
        return False
    for wait in state.waits.values():
        node = manifest.by_name.get(wait.step or "")
        if (wait.kind == "deadline" and not is_start_limit(wait)) or (
            wait.kind == "signal" and node is not None and node.on_timeout == "compensate"
        ):
            return manifest.pivot is None or state.step(manifest.pivot.name).status not in ("succeeded", "skipped")
    return False

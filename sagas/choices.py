"""What may happen next at a point of a way through a definition, for the prover: each choice, and where it leads.

A command succeeds, fails for good, or nobody knows; an undo gives up; a probe says this or that; a wait is answered or
not; a child completes or not; time passes; somebody cancels; a worker that was given up speaks late. Retries are left
out where they end, as they only lead to one of these; those that never end are kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, Literal, cast

from sagas.compensation import PROBES_MAX
from sagas.copies import changed
from sagas.decide import decide
from sagas.events import Failure, Json
from sagas.inputs import Cancel, ChildEnds, Due, Input, Outcome, ParentTurnsBack, Send, Start
from sagas.manifest import ITEMS_MAX, Handler, Manifest, Node, RetryPolicy
from sagas.records import record
from sagas.state import COMMAND_KINDS, Key, State, StepState, Wait, is_start_limit

SAGA = "00000000-0000-7000-8000-000000000000"
LONG_SECONDS = 1e7
NEVER = RetryPolicy(delays=())
FOREVER = RetryPolicy(delays=(1.0,), forever=True)
FAILED: Failure = {"type": "Permanent", "code": "permanent", "message": "it fails for good", "attempt": 1,
                   "retryable": False, "happened": False}  # fmt: skip
VAGUE: Failure = {**FAILED, "message": "nobody knows", "happened": None}
AGAIN: Failure = {**FAILED, "message": "it fails", "retryable": True}
OPTIONS: Mapping[str, tuple[Json, ...]] = {"when": (True, False), "each": ([0, 1], []), "moment": (None,)}
TOO_LONG: Json = [0] * (ITEMS_MAX + 1)
BY_CHANCE = ("somebody ", "a worker that was given up ", "the saga that started it ")
"""How choices begin that nobody can count on: a saga must end without them."""
COMMANDED = COMMAND_KINDS | {"child"}
BACK = frozenset({"undoing", "undone", "undo_failed"})
NO_EVENT = -1
LAST = 1 << 30
"""The rank of what is about no step: a deadline that turns nothing back any more."""


@record
class Point:
    """A point on a way: the state, the clock, and whether a late word has come.

    `asks`: an operator is asked about something that is left out of it (`sagas.sameness`).
    """

    state: State
    now: float
    spoke: bool = False
    asks: bool = False


@dataclass(frozen=True)
class Choices:
    """What may happen next by one definition.

    `reduced`: orders that change nothing are walked once. `started`: another saga starts it, and may turn back.
    """

    manifest: Manifest
    reduced: bool = True
    started: bool = False
    told: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    """Late words about what rests, that were looked at: status of the saga, step, and its status."""
    scouted: set[str] = field(default_factory=set[str])

    @classmethod
    def of(cls, manifest: Manifest, *, reduced: bool = True, started: bool = False) -> "Choices":
        """The choices by a definition, whose retries are left out."""
        nodes = tuple(
            replace(node, handler=_once(node.handler), undo=_once(node.undo), probe=_once(node.probe),
                    fallback=_once(node.fallback))
            for node in manifest.nodes
        )  # fmt: skip
        return cls(replace(manifest, nodes=nodes), reduced, started)

    @cached_property
    def related(self) -> Mapping[str, frozenset[str]]:
        """For each node itself, and all that depends on it or that it depends on."""
        plain = self.manifest
        return {name: plain.ancestors[name] | plain.descendants[name] | {name} for name in plain.by_name}

    @cached_property
    def rank(self) -> Mapping[str, int]:
        """An order of nodes in which each comes close to what depends on it: so one branch ends before the next."""
        found: dict[str, int] = {}

        def visit(node: Node) -> None:
            for name in node.after:
                if name not in found:
                    visit(self.manifest.by_name[name])
            found.setdefault(node.name, len(found))

        for node in reversed(self.manifest.nodes):
            visit(node)
        return found

    def starts(self) -> Iterator[Point]:
        """The first points: one for each input that paths read differently."""
        for value, _ in self._values("input"):
            yield self._after(Point(State(SAGA), 0.0), Start(SAGA, self.manifest, value))

    def at(self, here: Point) -> Iterator[tuple[str, Point]]:
        """What may happen next, each with where it leads."""
        state = here.state
        moving = self._moving(state, _open(state))
        for wait in moving:
            yield from self._of_wait(here, wait)
        if state.status == "active" and not self._passed(state):
            yield "somebody cancels", self._after(here, Cancel(SAGA, "somebody cancels", "cancel"))
        if state.status == "completed" and self.started and self.manifest.pivot is None:
            yield "the saga that started it turns back", self._after(here, ParentTurnsBack(SAGA, "parent"))
        if here.spoke:
            return
        for (name, item), step in state.steps.items():
            if self._may_speak(state, name, step) and (not self.reduced or self._matters(state, (name, item), moving)):
                yield self._speaks(here, (name, item))

    def at_the_end(self, here: Point) -> Iterator[tuple[Point, tuple[str, ...]]]:
        """Late words once all is over, about steps that are undone for the first time: with the way that leads there.

        What follows is about such a step alone, so any end will do, and it is looked at once.
        """
        if not self.reduced or here.spoke or here.state.status == "active":
            return
        for key, step in here.state.steps.items():
            if step.status != "undone" or key[0] in self.scouted or not self._may_speak(here.state, key[0], step):
                continue
            self.scouted.add(key[0])
            end, way = here, list[str]()
            while moving := self._moving(end.state, _open(end.state)):
                told, end = next(self._of_wait(end, moving[0]))
                way.append(told)
            choice, spoken = self._speaks(end, key)
            yield spoken, (*way, choice)

    def _speaks(self, here: Point, key: Key) -> tuple[str, Point]:
        word = Outcome(SAGA, NO_EVENT, 0, key[0], key[1], "step", "succeeded")
        choice = f"a worker that was given up did {name_of(*key)} all the same"
        after = self._after(here, word)
        in_time = (
            after.state.status == "active" and after.state.step(*key).status == "succeeded"
        )  # as if it were not late
        return choice, replace(after, spoke=not in_time)

    def _passed(self, state: State) -> bool:
        """Whether there is no way back any more."""
        pivot = self.manifest.pivot
        return pivot is not None and state.step(pivot.name).status in ("succeeded", "skipped")

    def _moving(self, state: State, waits: Sequence[Wait]) -> Sequence[Wait]:
        """The waits whose end is looked at.

        All of them; of one branch only, going forward where what has begun can be told apart; but one, while a saga
        turns back or has passed its pivot: then the order changes nothing.
        """
        if not self.reduced:
            return waits
        if state.status == "active" and not self._passed(state):
            return self._of_one_branch(state, waits) if self._is_apart(state) else waits
        ranked = sorted(waits, key=lambda wait: (self.rank.get(wait.step or "", LAST), wait.item or 0))
        for first in ranked[:1]:
            near = self.related.get(first.step or "", frozenset())
            commands = [wait for wait in ranked if wait.step in near and wait.kind in COMMANDED]
            return (commands or ranked)[:1]
        return ()

    def _is_apart(self, state: State) -> bool:
        """Whether a cancel turns back whatever is under way, and nobody is asked.

        Then each branch meets every way of turning back, wherever the others stand (docs/decisions/0020).
        """
        pivot = self.manifest.pivot
        waits_for_pivot = pivot is not None and state.step(pivot.name).status != "pending"
        return not waits_for_pivot and not any(wait.kind == "operator" for wait in state.waits.values())

    @cached_property
    def _endless(self) -> frozenset[str]:
        """Nodes before the pivot that are tried for ever, and all that such a one depends on."""
        plain, found = self.manifest, set[str]()
        for node in plain.nodes:
            handlers = [one for one in (node.handler, node.probe, node.fallback) if one is not None]
            if any(one.retry.forever for one in handlers) and not node.pivot and node.name not in plain.behind_pivot:
                found |= {node.name, *plain.ancestors[node.name]}
        return frozenset(found)

    def _of_one_branch(self, state: State, waits: Sequence[Wait]) -> Sequence[Wait]:
        """The waits of the first branch, and those of the saga itself. What has begun is of one branch if either leans.

        Branches that can go round for ever come last, and together: whether others end a round is seen there.
        """
        begun = {name for (name, _), step in state.steps.items() if step.status != "pending"}
        names = dict.fromkeys(wait.step for wait in waits if wait.step is not None)
        for first in sorted(names, key=lambda name: self.rank[name]):
            branch, last = {first}, [first]
            while last:
                near = self.related[last.pop()] & begun - branch
                branch |= near
                last += near
            if self._endless.isdisjoint(branch):
                return [wait for wait in waits if wait.step is None or wait.step in branch]
        return waits

    def _matters(self, state: State, key: Key, moving: Sequence[Wait]) -> bool:
        """Whether a late word leads where nothing else does.

        While a saga turns back: the step was undone, and the way back has gone on. At rest: what follows is about the
        step alone, so once is enough.
        """
        name, step = key[0], state.steps[key]
        if state.status == "active":
            return step.status != "succeeded"  # that it succeeded is known
        if state.status != "compensating":
            told = (state.status, name, step.status)
            new = told not in self.told
            self.told.add(told)
            return new
        before = self.manifest.ancestors[name]
        gone_on = any(one in before and other.status in BACK for (one, _), other in state.steps.items())
        return step.status == "undone" and gone_on and any(wait.step in self.related[name] for wait in moving)

    def _may_speak(self, state: State, name: str, step: StepState) -> bool:
        """Whether an earlier attempt may have happened late, and it would make a difference."""
        node = self.manifest.by_name[name]
        if node.handler is None or node.transactional:
            return False  # the key of a transaction step is closed (rule T2)
        if state.status == "active":
            return step.status == "unknown" or (step.maybe and step.tried == "fallback")
        if node.undo is None:
            return node.pivot and step.status == "unknown"
        return step.status in ("unknown", "undoing", "undone")

    def _of_wait(self, here: Point, wait: Wait) -> Iterator[tuple[str, Point]]:
        node, where = self.manifest.by_name.get(wait.step or ""), name_of(wait.step, wait.item)
        if wait.kind in COMMAND_KINDS and node is not None:
            yield from self._of_command(here, wait, node, where)
        elif wait.kind == "signal" and node is not None:
            for value, how in self._values(node.name):
                yield f"somebody sends {where}{how}", self._after(here, Send(SAGA, node.name, value, "s"))
            yield f"nobody sends {where}", self._due(here, wait)
        elif wait.kind == "child" and node is not None:
            yield from self._of_child(here, node)
        elif wait.due_at is not None:
            yield _told(wait, where), self._all_due(here, wait)

    def _of_command(self, here: Point, wait: Wait, node: Node, where: str) -> Iterator[tuple[str, Point]]:
        if wait.role == "probe":
            yield from self._of_probe(here, wait, node, where)
            return
        what = where if wait.role == "step" else f"the {wait.role} of {where}"
        handler = {"step": node.handler, "undo": node.undo, "fallback": node.fallback}[wait.role]
        for value, how in [(None, "")] if wait.role == "undo" else self._values(node.name):
            yield f"{what} succeeds{how}", self._after(here, _word(wait, "succeeded", result=value))
        yield f"{what} fails for good", self._after(here, _word(wait, "failed", error=FAILED))
        if wait.role == "step" and (limit := here.state.wait_of(wait.step, wait.item, "deadline")) is not None:
            yield f"no worker begins {what}", self._due(here, limit, "withdrawn")
        if handler is not None and handler.retry.forever:
            yield f"{what} fails, and is tried again", self._after(here, _word(wait, "failed", error=AGAIN))
        if wait.role == "undo":
            return
        vague = f"nobody knows whether {what} happened"
        unknown = self._after(here, _word(wait, "unknown", cause="error", error=VAGUE))
        later = unknown.state.wait_of(node.name, wait.item, "retry")
        if self.reduced and later is not None and unknown.state.status == "active":
            unknown = self._due(unknown, later)  # nothing follows from it before its probe has answered
            probe = unknown.state.wait_of(node.name, wait.item, "probe")
            if probe is not None:
                answers = self._of_probe(unknown, probe, node, where)
                yield from ((f"{vague}; {answer}", point) for answer, point in answers)
        else:
            yield vague, unknown
        if handler is not None and handler.retry.forever:
            again = self._after(here, _word(wait, "unknown", cause="error", error=AGAIN))
            yield f"{vague}, and it is tried again", again

    def _of_probe(self, here: Point, wait: Wait, node: Node, where: str) -> Iterator[tuple[str, Point]]:
        what = f"the probe of {where}"
        yield f"{what}: it happened", self._after(here, _word(wait, "succeeded", happened=True))
        yield f"{what}: it did not", self._after(here, _word(wait, "succeeded", closed=True))
        if node.probe is None or node.probe_decides:
            return
        asked: Wait | None = wait
        if self.reduced:
            here = _asked_before(here, (node.name, wait.item))
        while asked is not None:  # as often as may be: what happens between may as well happen before or after
            here = self._after(here, _word(asked, "unknown", cause="error", error=VAGUE))
            later = here.state.wait_of(node.name, wait.item, "retry")
            if later is not None and later.role == "probe":
                here = self._due(here, later)
            asked = here.state.wait_of(node.name, wait.item, "probe")
        yield f"{what} cannot tell", here

    def _of_child(self, here: Point, node: Node) -> Iterator[tuple[str, Point]]:
        step = here.state.step(node.name)

        def says(status: str, value: Json = None) -> Point:
            word = ChildEnds(SAGA, f"{status}/{step.attempt}", child_id=step.child or "", step=node.name,
                             attempt=step.attempt, status=status, result=value)  # fmt: skip
            return self._after(here, word)

        if step.status == "running":
            for value, how in self._values(node.name):
                yield f"the child {node.name} completes{how}", says("completed", value)
        yield f"the child {node.name} is compensated", says("compensated")

    def _after(self, here: Point, word: Input) -> Point:
        return Point(decide(self.manifest, here.state, word, here.now).state, here.now, here.spoke, here.asks)

    def _due(self, here: Point, wait: Wait, verdict: Literal["fire", "withdrawn"] = "fire") -> Point:
        """Long enough has passed that nothing else keeps the saga waiting for a time."""
        later = Point(here.state, max(here.now, wait.due_at or 0.0) + LONG_SECONDS, here.spoke, here.asks)
        return self._after(later, Due(SAGA, wait.opened_by, verdict))

    def _all_due(self, here: Point, wait: Wait) -> Point:
        """As `_due`; where order changes nothing, whatever else is due by then ends too."""
        after = self._due(here, wait)
        if not self.reduced or here.state.status == "active":
            return after
        for other in [other for other in here.state.waits.values() if other.kind == "timer"]:
            after = self._after(after, Due(SAGA, other.opened_by))
        return after

    def _values(self, source: str) -> Sequence[tuple[Json, str]]:
        """Values of a node, or of the input, that differ in all that paths read of them; what to say of each.

        Each list is too long once, beside whatever else comes first.
        """
        read = [(path, kind) for path, kind in self.manifest.paths if path.split(".")[0] == source]
        many = list(product(*(OPTIONS[kind] for _, kind in read)))
        found = [(_whole(read, chosen), "") for chosen in many]
        if self._has_items(source):
            return found  # each is one of a list
        for place, (path, kind) in enumerate(read):
            if kind == "each":
                chosen = (*many[0][:place], TOO_LONG, *many[0][place + 1 :])
                found.append((_whole(read, chosen), f", and '{path}' is too long"))
        return found

    def _has_items(self, source: str) -> bool:
        node = self.manifest.by_name.get(source)
        return node is not None and node.each is not None


def _whole(read: Sequence[tuple[str, str]], chosen: Sequence[Json]) -> Json:
    whole: Json = {}
    for (path, _), option in zip(read, chosen, strict=True):
        whole = _put(whole, path.split(".")[1:], option)
    return whole


def _once(handler: Handler | None) -> Handler | None:
    if handler is None:
        return None
    return replace(handler, retry=FOREVER if handler.retry.forever else NEVER)


def _open(state: State) -> list[Wait]:
    return [wait for wait in state.waits.values() if wait.kind != "operator" and not is_start_limit(wait)]


def _asked_before(here: Point, key: Key) -> Point:
    """The point where its probe may be asked once more: what it could not tell before changed its number alone."""
    step = here.state.steps[key]
    step = changed(step, probes=max(step.probes, PROBES_MAX - 1))
    return Point(changed(here.state, steps={**here.state.steps, key: step}), here.now, here.spoke, here.asks)


def _told(wait: Wait, where: str) -> str:
    """What it means that time passes until a wait ends."""
    match wait.kind:
        case "deadline":
            return "the deadline passes"
        case "timer" if wait.cause == "may_run":
            return f"nothing of {where} can be running any more"
        case "timer":
            return f"{where} is over"
        case _:
            return f"the next try of {where if wait.role == 'step' else f'the {wait.role} of {where}'} is due"


def name_of(step: str | None, item: int | None) -> str:
    """A step, or an item of it, by name."""
    return f"{step}" if item is None else f"{step}[{item}]"


def _word(wait: Wait, kind: Any, **more: Any) -> Outcome:
    return Outcome(SAGA, wait.opened_by, wait.attempt, wait.step or "", wait.item, wait.role, kind, **more)


def _put(whole: Json, fields: Sequence[str], value: Json) -> Json:
    if not fields:
        return value
    known = cast("dict[str, Json]", whole) if isinstance(whole, dict) else {}
    return {**known, fields[0]: _put(known.get(fields[0], {}), fields[1:], value)}

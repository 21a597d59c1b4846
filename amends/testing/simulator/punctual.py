"""Time: what waits for an instant does not end before it, and is as long as the definition says (rules A11, def_R7).

It keeps by itself when waits are due, as events say it, without the fold.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf

from sagas import events as e
from sagas.events import Recorded
from sagas.manifest import Handler, Manifest, Node
from sagas.numbers import DEFAULT_NUMBERS
from sagas.state import State, StepState, Wait
from sagas.waiting import UNTIL

RULE = "23: nothing ends before its time"
LONG = "23: what is waited for is as long as was said"
EARLY_SECONDS = 0.001
SCHEDULES = (e.StepScheduled, e.UndoScheduled, e.ProbeScheduled, e.FallbackScheduled)


@dataclass(frozen=True, slots=True)
class Due:
    """When a wait ends that an event opened; `moves`: a hold moves it."""

    since: float
    at: float
    moves: bool


class Punctual:
    """Watches when waits end.

    Whoever ends one has decided so by what the database's clock had shown, which its event says; the latest counts that
    it has shown to anybody, since it may be set back.
    """

    def __init__(self, clock: Callable[[], float], fail: Callable[[str, str, str], None]) -> None:
        self._clock = clock
        self._fail = fail
        self._latest = 0.0
        self._due: dict[str, dict[int, Due]] = {}
        self._held_at: dict[str, float] = {}
        self._refusals: Counter[tuple[str, str | None, int | None]] = Counter()

    def now(self) -> float:
        """What the clock shows."""
        now = self._clock()
        self._latest = max(self._latest, now)
        return now

    def watch(self, manifest: Manifest, state: State, entry: Recorded) -> None:
        """An event is committed that finds the saga in this state."""
        self.now()
        saga_id, event, lasts = state.saga_id, entry.event, _lasts(entry.event)
        due = self._due.setdefault(saga_id, {})
        wait = _ended_by(state, event)
        if wait is not None:
            early = _end_of(due, wait) - min(entry.at, self._latest)
            if early > EARLY_SECONDS:
                self._fail(RULE, saga_id, f"{wait.kind} of {wait.step}[{wait.item}] is over {early:.3f} s early")
        if lasts is not None:
            of_an_instant = isinstance(event, e.WaitOpened) and event.cause == UNTIL
            due[entry.sequence] = Due(entry.at, entry.at + lasts, moves=not of_an_instant)
        if isinstance(event, e.SagaHeld):
            self._held_at[saga_id] = entry.at
        if isinstance(event, e.SagaReleased):
            self._due[saga_id] = {opened_by: self._moved(saga_id, one, entry.at) for opened_by, one in due.items()}
        place = (saga_id, event.step, event.item)
        if not _is_as_said(manifest, state.step(event.step or "", event.item), event, lasts, self._refusals[place]):
            self._fail(LONG, saga_id, f"{type(event).__name__} of {event.step}: {lasts} s")
        if isinstance(event, e.StepRefused) and event.reason != "drained":
            self._refusals[place] += 1

    def _moved(self, saga_id: str, due: Due, now: float) -> Due:
        """By as much of a hold as the wait has seen (rule B7)."""
        seen = max(now - max(due.since, self._held_at[saga_id]), 0.0)
        return replace(due, at=due.at + seen) if due.moves else due


def _end_of(due: Mapping[int, Due], wait: Wait) -> float:
    """When a wait ends; never, if no event has said it."""
    found = due.get(wait.opened_by)
    return inf if found is None else found.at


def _lasts(event: e.Event) -> float | None:
    """How long that is waited for which the event opens."""
    match event:
        case e.WaitOpened():
            return event.due_in
        case e.SagaStarted():
            return event.deadline
        case e.StepRefused():
            return event.again_in
        case e.StepFailed() | e.StepOutcomeUnknown() | e.UndoFailed() | e.ProbeAnswered():
            return event.retry_in
        case _:
            return None


def _ended_by(state: State, event: e.Event) -> Wait | None:
    """The wait that only its time can have ended so."""
    if isinstance(event, e.TimerFired):
        return state.waits.get(event.opened_by)
    if isinstance(event, SCHEDULES) and event.cause == "retry":
        return state.wait_of(event.step, event.item, "retry")
    if isinstance(event, e.StepFailed) and event.error["code"] == "not_started":
        return state.wait_of(event.step, event.item, "deadline")
    if isinstance(event, e.StepFailed):
        return state.wait_of(event.step, event.item, "signal")
    return None


def _is_as_said(manifest: Manifest, step: StepState, event: e.Event, lasts: float | None, refusals: int) -> bool:
    """Whether it is waited for as long as the definition says; for a delay, at least."""
    if isinstance(event, e.SagaStarted):
        return lasts == manifest.deadline
    node = manifest.by_name.get(event.step or "")
    if node is None:
        return True
    match event:
        case e.WaitOpened(kind="timer", cause="sleep") | e.WaitOpened(kind="deadline" | "signal"):
            return lasts == _length(node, event.kind)
        case e.StepRefused(reason="drained" | "held"):
            return not lasts
        case e.StepRefused():
            return lasts is None or lasts == min(2.0**refusals, DEFAULT_NUMBERS.refusal_seconds_max)
        case e.StepFailed(role="step") | e.StepOutcomeUnknown(role="step") | e.WaitOpened(kind="retry", cause="retry"):
            return lasts is None or lasts >= _least(node.handler, step.retries)
        case e.UndoFailed():
            return lasts is None or lasts >= _least(node.undo, step.undo_tries)
        case _:
            return True


def _length(node: Node, kind: str) -> float | None:
    return node.length if kind == "timer" else node.schedule_timeout if kind == "deadline" else node.timeout


def _least(handler: Handler | None, used: int) -> float:
    """The least delay of the next retry: a handler that failed may have asked for a longer one."""
    if handler is None or not handler.retry.delays:
        return inf
    retry = handler.retry
    return retry.delays[min(used, len(retry.delays) - 1)] * (1.0 - retry.jitter)

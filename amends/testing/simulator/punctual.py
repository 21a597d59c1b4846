"""Time: what waits for an instant does not end before it, and is as long as the definition says (rules A11, def_R7)."""

from collections.abc import Callable

from sagas import events as e
from sagas.events import Recorded
from sagas.manifest import Manifest, Node
from sagas.state import State, Wait

RULE = "23: nothing ends before its time"
LONG = "23: what is waited for is as long as was said"
EARLY_SECONDS = 0.001
SCHEDULES = (e.StepScheduled, e.UndoScheduled, e.ProbeScheduled, e.FallbackScheduled)


class Punctual:
    """Watches when waits end. The latest counts that the database's clock has shown to anybody: it may be set back."""

    def __init__(self, clock: Callable[[], float], fail: Callable[[str, str, str], None]) -> None:
        self._clock = clock
        self._fail = fail
        self._latest = 0.0

    def now(self) -> float:
        """What the clock shows."""
        now = self._clock()
        self._latest = max(self._latest, now)
        return now

    def watch(self, manifest: Manifest, state: State, entry: Recorded) -> None:
        """An event is committed that finds the saga in this state."""
        self.now()
        event = entry.event
        wait = _ended_by(state, event)
        if wait is not None and wait.due_at is not None and wait.due_at > self._latest + EARLY_SECONDS:
            early = wait.due_at - self._latest
            self._fail(RULE, state.saga_id, f"{wait.kind} of {wait.step}[{wait.item}] is over {early:.3f} s early")
        if isinstance(event, e.WaitOpened):
            said = _length(manifest.by_name.get(event.step or ""), event)
            if said is not None and (event.due_in is None or abs(event.due_in - said) > EARLY_SECONDS):
                self._fail(LONG, state.saga_id, f"{event.kind} of {event.step}: {event.due_in} s, not {said}")


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


def _length(node: Node | None, event: e.WaitOpened) -> float | None:
    """How long the definition lets it be waited for."""
    if node is None:
        return None
    if event.kind == "timer" and event.cause == "sleep":
        return node.length
    if event.kind == "deadline":
        return node.schedule_timeout
    return node.timeout if event.kind == "signal" else None

"""`evolve(state, recorded) -> state`: what is known of a saga after one more event. Pure and total.

The waits of a saga are part of the fold: an event opens at most one wait, whose `opened_by` is the event's sequence
number (rules A5, A10).
"""

from typing import Any, assert_never

from sagas import events as e
from sagas.copies import changed
from sagas.events import Event, Recorded
from sagas.family import child_ended, child_started
from sagas.folding import Change, drop, key_of, opened, with_step
from sagas.manifest import Role
from sagas.state import (
    COMMAND_KINDS,
    Parent,
    State,
    StepState,
    Wait,
    is_start_limit,
    value_of,
)
from sagas.statuses import StepStatus, WaitKind
from sagas.versions import Newer, format_of
from sagas.waiting import is_of_an_instant, signal_received, still_asked, timer_fired, wait_opened, withdrawn

WITHDRAWN = frozenset({"retry", "timer", "signal", "breaker", "deadline"})


class IllegalEvent(Exception):
    """An event cannot follow the state that it meets: the history is broken."""

    def __init__(self, state: State, recorded: Recorded) -> None:
        super().__init__(
            f"{type(recorded.event).__name__} with sequence {recorded.sequence} cannot follow version "
            f"{state.version} of saga {state.saga_id} ({state.status})"
        )


def evolve(state: State, recorded: Recorded) -> State:
    """The state after `recorded`.

    Raises:
        IllegalEvent: the event is not the next one of this saga, or of a newer program.
    """
    first = isinstance(recorded.event, e.SagaStarted)
    if recorded.sequence != state.version + 1 or first != (state.version == 0) or isinstance(recorded.event, Newer):
        raise IllegalEvent(state, recorded)
    after, wait = _apply(state, recorded)
    waits = after.waits if wait is None else {**after.waits, wait.opened_by: wait}
    if after.repairs:
        waits = still_asked(waits)
    return changed(after, version=recorded.sequence, waits=waits, format=max(state.format, format_of(recorded.event)))


def _apply(state: State, recorded: Recorded) -> Change:
    event = recorded.event
    match event:
        case e.StepScheduled() | e.FallbackScheduled() | e.ProbeScheduled() | e.UndoScheduled():
            return _scheduled(state, event, recorded)
        case e.StepSucceeded() | e.FallbackUsed() | e.ProbeAnswered() | e.ValueCorrected() | e.StepResolved():
            return _answered(state, event, recorded)
        case e.SagaStarted():
            return _started(state, event, recorded)
        case e.SagaCompleted() | e.SagaCompensated() | e.SagaFailed() | e.SagaReopened() | e.SagaTurnedBack():
            return _saga_level(state, event, recorded)
        case e.StepFailed() | e.StepRefused() | e.StepOutcomeUnknown() | e.StepSkipped():
            return _attempt_over(state, event, recorded)
        case e.StepUndone() | e.UndoFailed() | e.LateOutcomeSeen():
            return _undo_over(state, event, recorded)
        case e.StepStarted():
            step = state.step(*key_of(event))
            running = step.attempt == event.attempt and step.status == "scheduled"
            begun = drop(state, event, "deadline")
            return (with_step(begun, event, changed(step, status="running")) if running else state), None
        case e.WaitOpened():
            return wait_opened(state, event, recorded)
        case e.TimerFired():
            return timer_fired(state, event), None
        case e.SignalReceived():
            return signal_received(state, event, recorded), None
        case e.SagaHeld():
            return changed(state, held=True, held_at=recorded.at), None
        case e.SagaReleased():
            return _released(state, recorded), None
        case e.CancelRequested():
            return changed(state, back_cause="cancel", back_reason=event.reason), None
        case e.SagaMigrated():
            return changed(state, fingerprint=event.fingerprint, facts={**state.facts, **event.facts}), None
        case e.RepairApplied():
            count = state.repairs.get(event.finding, 0) + 1
            return changed(state, repairs={**state.repairs, event.finding: count}), None
        case e.RetryRequested():
            return _tried_again(state, event), None
        case e.ChildStarted():
            return child_started(state, event), None
        case e.ChildEnded():
            return child_ended(state, event, recorded), None
        case e.StepProgressed() | e.BreakerOpened() | e.BreakerHalfOpened() | e.BreakerClosed() | Event():
            return state, None
        case _:
            assert_never(event)


def _started(state: State, event: e.SagaStarted, recorded: Recorded) -> Change:
    after = changed(
        state,
        definition=event.definition,
        fingerprint=event.fingerprint,
        key=event.key,
        started_at=recorded.at,
        trace=recorded.trace,
        parent=Parent(**event.parent) if event.parent is not None else None,
        input=value_of(event.input, event.payload, recorded.sequence),
        facts=dict(event.facts),
    )
    return after, None if event.deadline is None else opened(event, recorded, "deadline", after=event.deadline)


def _saga_level(
    state: State,
    event: e.SagaCompleted | e.SagaCompensated | e.SagaFailed | e.SagaReopened | e.SagaTurnedBack,
    recorded: Recorded,
) -> Change:
    match event:
        case e.SagaCompleted():
            return _ended(changed(state, status="completed", ended_at=recorded.at)), None
        case e.SagaCompensated():
            return _ended(changed(state, status="compensated", ended_at=recorded.at)), None
        case e.SagaFailed():
            error = event.error or state.error
            return changed(state, status="failed", ended_at=recorded.at, error=error), None
        case e.SagaReopened():
            return changed(state, status=event.to, ended_at=None), None
        case e.SagaTurnedBack():
            return _turned_back(state, event), None
        case _:
            assert_never(event)


def _ended(state: State) -> State:
    kept = {seq: wait for seq, wait in state.waits.items() if wait.kind in ("notify", "operator")}
    return changed(state, waits=kept)


def _turned_back(state: State, event: e.SagaTurnedBack) -> State:
    """Withdraws what only waits: retries, timers, signals, the deadline (rule B1). What is dispatched is awaited."""
    steps = dict(state.steps)
    for key, step in state.steps.items():
        if step.status == "retrying":
            steps[key] = changed(step, status="unknown" if step.maybe else "failed")
    steps |= withdrawn(state)
    kept = {seq: wait for seq, wait in state.waits.items() if wait.kind not in WITHDRAWN or _limits(state, wait)}
    return changed(
        state,
        status="compensating",
        steps=steps,
        waits=kept,
        ended_at=None,
        back_cause=event.cause,
        back_reason=event.reason,
        error=event.error or state.error,
    )


def _limits(state: State, wait: Wait) -> bool:
    """Whether it is the start limit of a command that is out: what nobody begins is not awaited for ever."""
    return is_start_limit(wait) and state.wait_of(wait.step, wait.item, "step") is not None


def _scheduled(
    state: State, event: e.StepScheduled | e.FallbackScheduled | e.ProbeScheduled | e.UndoScheduled, recorded: Recorded
) -> Change:
    step = state.step(*key_of(event))
    role: Role
    status: StepStatus
    match event:
        case e.StepScheduled():
            role, status = "step", "scheduled"
        case e.FallbackScheduled():
            role, status = "fallback", "scheduled"
        case e.ProbeScheduled():
            role, status = "probe", step.status
        case e.UndoScheduled():
            role, status = "undo", "undoing"
        case _:
            assert_never(event)
    after = drop(state, event, "retry", "step", "undo", "probe", "fallback", "breaker", "child")
    tried = step.tried if role == "probe" else role
    step = changed(step, status=status, role=role, tried=tried, attempt=event.attempt, dispatched=True)
    if step.child is not None:
        return with_step(after, event, step), None  # a child undoes itself
    return with_step(after, event, step), opened(event, recorded, role, role=role)


def _answered(
    state: State,
    event: e.StepSucceeded | e.FallbackUsed | e.ProbeAnswered | e.ValueCorrected | e.StepResolved,
    recorded: Recorded,
) -> Change:
    step = state.step(*key_of(event))
    if isinstance(event, e.ProbeAnswered) and event.answer != "happened":
        return _probe_negative(state, event, recorded, step)
    if isinstance(event, e.StepResolved) and event.outcome != "happened":
        return _resolved(state, event, step), None
    value = value_of(
        event.result if not isinstance(event, e.ValueCorrected) else event.value, event.payload, recorded.sequence
    )
    if event.facts:
        state = changed(state, facts={**state.facts, **event.facts})
    if event.step is None:
        return changed(state, input=value), None
    if isinstance(event, e.ValueCorrected):
        return with_step(state, event, changed(step, result=value)), None
    return with_step(drop(state, event), event, _succeeded(state, event, recorded, changed(step, result=value))), None


def _succeeded(state: State, event: e.Event, recorded: Recorded, step: StepState) -> StepState:
    """The step with a result that stands, and without what was said of earlier attempts."""
    step = changed(step, status="succeeded", evidence=recorded.sequence)
    used = event if isinstance(event, e.FallbackUsed) else None
    if used or step.maybe or step.fallback or step.error or step.reason or step.resolving:
        step = changed(
            step,
            resolving=None,
            maybe=False,
            fallback=used is not None,
            reason=used.reason if used else None,
            error=step.error if used else None,
        )
    name, item = key_of(event)
    others = any(  # also where one wait alone is open: a late success leaves the next attempt running
        wait.item == item and wait.step == name and wait.kind in COMMAND_KINDS and wait.attempt != event.attempt
        for wait in state.waits.values()
    )
    return changed(step, maybe_at=recorded.at) if others else step


def _probe_negative(state: State, event: e.ProbeAnswered, recorded: Recorded, step: StepState) -> Change:
    after = drop(state, event, "probe", "retry")
    if event.answer == "did_not_happen":
        return with_step(after, event, changed(step, status="failed", maybe=False)), None
    wait = None if event.retry_in is None else opened(event, recorded, "retry", "probe", event.retry_in)
    return with_step(after, event, changed(step, status="unknown", probes=step.probes + 1)), wait


def _resolved(state: State, event: e.StepResolved, step: StepState) -> State:
    after, step = drop(state, event), changed(step, resolving=None)
    match event.outcome:
        case "did_not_happen":
            return with_step(after, event, changed(step, status="failed", maybe=False))
        case "skip":
            return with_step(after, event, changed(step, status="skipped", maybe=False))
        case "undone" if step.status == "skipped":
            return with_step(after, event, step)  # it was left out, and is so again
        case "undone":
            return with_step(after, event, changed(step, status="undone", maybe=False))
        case "accept":
            return changed(state, closed=True, waits={})
        case "happened":
            return after
        case _:
            assert_never(event.outcome)


def _tried_again(state: State, event: e.RetryRequested) -> State:
    """An operator's wait is over, and every budget is fresh; what was undone in vain is to be undone."""
    step = changed(state.step(*key_of(event)), retries=0, undo_tries=0, probes=0, workers_lost=0, lost=0)
    step = changed(step, resolving=event.resolving)
    if step.attempt == 0 and step.status == "failed":
        step = changed(step, status="pending")  # a list that was too long: nothing of it has begun
    if event.role == "undo" and step.status != "undoing":
        step = changed(step, status="unknown" if step.maybe else "succeeded")
    over: tuple[WaitKind, ...] = ("operator", "retry") if event.role == "undo" else ("operator",)
    return with_step(drop(state, event, *over), event, step)


def _attempt_over(
    state: State, event: e.StepFailed | e.StepRefused | e.StepOutcomeUnknown | e.StepSkipped, recorded: Recorded
) -> Change:
    step = state.step(*key_of(event))
    after = drop(state, event, "step", "undo", "probe", "fallback", "retry", "breaker", "signal")
    match event:
        case e.StepSkipped():
            return with_step(drop(state, event), event, _skipped(step, event)), None
        case e.StepRefused():
            return _refused(after, event, recorded, step)
        case e.StepFailed():
            step = changed(step, error=event.error)
        case e.StepOutcomeUnknown():
            step = _doubted(step, event, recorded)
        case _:
            assert_never(event)
    after = drop(after, event, "deadline")
    if event.role == "probe":
        wait = None if event.retry_in is None else opened(event, recorded, "retry", "probe", event.retry_in)
        asked = step.probes if isinstance(event, e.StepOutcomeUnknown) and event.again else step.probes + 1
        return with_step(after, event, changed(step, status="unknown", probes=asked)), wait
    if event.retry_in is not None:
        step = changed(step, status="retrying", retries=step.retries + 1)
        return with_step(after, event, step), opened(event, recorded, "retry", event.role, event.retry_in)
    return with_step(after, event, changed(step, status="unknown" if step.maybe else "failed")), None


def _skipped(step: StepState, event: e.StepSkipped) -> StepState:
    step = changed(step, status="skipped", reason=event.why)
    return changed(step, left_out=True) if event.why == "left_out" else step


def _doubted(step: StepState, event: e.StepOutcomeUnknown, recorded: Recorded) -> StepState:
    changes: dict[str, Any] = {"error": event.error or step.error}
    if event.role != "probe":
        changes |= {"maybe": True, "maybe_at": recorded.at, "evidence": recorded.sequence}
    if event.cause == "worker_lost":
        changes["workers_lost"] = step.workers_lost + 1
    elif event.cause == "lost":
        changes["lost"] = step.lost + 1
    return changed(step, **changes)


def _refused(state: State, event: e.StepRefused, recorded: Recorded, step: StepState) -> Change:
    step = changed(step, refusals=step.refusals + 1 if event.reason != "drained" else step.refusals, role=event.role)
    if event.again_in is None:
        status: StepStatus = "unknown" if step.maybe else "failed"
        return with_step(drop(state, event, "deadline"), event, changed(step, status=status)), None
    if event.role == "step" or event.role == "fallback":
        step = changed(step, status="retrying")
    return with_step(state, event, step), opened(event, recorded, "retry", event.role, event.again_in, event.reason)


def _undo_over(state: State, event: e.StepUndone | e.UndoFailed | e.LateOutcomeSeen, recorded: Recorded) -> Change:
    step = state.step(*key_of(event))
    match event:
        case e.StepUndone():
            return with_step(drop(state, event), event, changed(step, status="undone", maybe=False)), None
        case e.UndoFailed():
            after = drop(state, event, "undo", "retry")
            step = changed(
                step,
                error=event.error,
                workers_lost=step.workers_lost + (event.cause == "worker_lost"),
                lost=step.lost + (event.cause == "lost"),
            )
            if event.again:
                return with_step(after, event, step), None
            if event.retry_in is None:
                return with_step(after, event, changed(step, status="undo_failed")), None
            step = changed(step, undo_tries=step.undo_tries + 1)
            return with_step(after, event, step), opened(event, recorded, "retry", "undo", event.retry_in)
        case e.LateOutcomeSeen():
            return _late(state, event, recorded, step), None
        case _:
            assert_never(event)


def _late(state: State, event: e.LateOutcomeSeen, recorded: Recorded, step: StepState) -> State:
    changes: dict[str, Any] = {}
    if event.outcome in ("succeeded", "unknown") and event.role != "undo":
        if event.outcome == "unknown":
            changes["maybe_at"] = recorded.at  # whatever the step's status, an undo waits until it is over (rule B1)
        if step.status != "succeeded":
            changes["evidence"] = recorded.sequence
            changes["maybe"] = step.maybe or event.outcome == "unknown"
    if not event.reopens:
        return with_step(state, event, changed(step, **changes))
    changes |= {"status": "succeeded" if event.outcome == "succeeded" else "unknown", "reason": f"late_{event.outcome}"}
    if event.outcome == "succeeded":
        changes["result"] = value_of(event.result, event.payload, recorded.sequence)
    return with_step(drop(state, event, "undo", "retry"), event, changed(step, **changes))


def _released(state: State, recorded: Recorded) -> State:
    """Due times move by as much of the hold as each wait has seen (rule B7); instants stay (def_R7)."""
    moved = {
        seq: wait
        if wait.due_at is None or is_of_an_instant(wait)
        else changed(wait, due_at=wait.due_at + max(recorded.at - max(wait.since, state.held_at), 0.0))
        for seq, wait in state.waits.items()
    }
    return changed(state, held=False, held_at=0.0, waits=moved)

"""The fold of what a saga itself waits for: signals, pauses, deadlines (def_R7, rule B6)."""

from collections.abc import Mapping

from sagas import events as e
from sagas.copies import changed
from sagas.events import Recorded
from sagas.folding import Change, drop, key_of, opened, with_step, without
from sagas.state import Key, State, StepState, Value, Wait, value_of

UNTIL = "sleep_until"
PAUSES = frozenset({"sleep", UNTIL})
"""Causes of timers that are nodes of the graph."""


def is_of_an_instant(wait: Wait) -> bool:
    """Whether it ends at an instant that the saga was given, whatever becomes of the saga until then (def_R7)."""
    return wait.kind == "timer" and wait.cause == UNTIL


def wait_opened(state: State, event: e.WaitOpened, recorded: Recorded) -> Change:
    """A wait begins; for a signal that came before it is over at once."""
    step = state.step(*key_of(event))
    if event.kind == "signal" and step.signals:
        return with_step(state, event, changed(step, status="succeeded")), None
    wait = opened(event, recorded, event.kind, event.role, event.due_in, event.cause)
    if wait.kind == "retry":
        waits = step.status if wait.role == "probe" else "retrying"
        used = step.retries + (wait.cause == "retry")
        return with_step(drop(state, event, "retry"), event, changed(step, status=waits, retries=used)), wait
    if _is_node(wait):
        return with_step(drop(state, event), event, changed(step, status="running")), wait
    if wait.kind == "operator":  # one desk a step: a question about it takes the place of one about repairs
        mine = [one for one in state.waits.values() if (one.step, one.item) == (wait.step, wait.item)]
        return without(state, *(one.opened_by for one in mine if is_about_repairs(one))), wait
    return state, wait


def signal_received(state: State, event: e.SignalReceived, recorded: Recorded) -> State:
    """The first is what the wait gives; what comes later, or after its time, is evidence."""
    step = state.step(*key_of(event))
    first = step.signals == 0 and step.status in ("pending", "running")
    step = changed(step, signals=step.signals + 1)
    if not first:
        return with_step(state, event, step)
    step = changed(step, result=value_of(event.value, event.payload, recorded.sequence))
    after = changed(state, facts={**state.facts, **event.facts})
    if step.status == "pending":
        return with_step(after, event, step)
    return with_step(drop(after, event), event, changed(step, status="succeeded"))


def timer_fired(state: State, event: e.TimerFired) -> State:
    """A wait that only time ends: a pause is over, a signal is gone on without, a deadline wants the saga back."""
    wait = state.waits.get(event.opened_by)
    after = without(state, event.opened_by)
    if wait is not None and _is_node(wait):
        return with_step(after, event, changed(state.step(*key_of(event)), status="succeeded", result=Value()))
    wants_back = event.kind == "deadline" and state.status == "active" and state.back_cause is None
    return changed(after, back_cause="deadline") if wants_back else after


def withdrawn(state: State) -> Mapping[Key, StepState]:
    """The records of nodes that only waited, once the saga turns back: nothing was done."""
    return {
        (wait.step, wait.item): changed(state.step(wait.step, wait.item), status="pending")
        for wait in state.waits.values()
        if wait.step is not None and _is_node(wait)
    }


def is_about_repairs(wait: Wait) -> bool:
    """Whether an operator is asked about a wait that no repair could end."""
    return wait.kind == "operator" and wait.cause == "repairs_used_up"


def question_of(state: State, step: str, item: int | None) -> Wait | None:
    """What an operator is asked about a step itself: that no repair ends a wait of it says nothing of the step."""
    for wait in state.waits.values():
        if wait.kind == "operator" and wait.step == step and wait.item == item and not is_about_repairs(wait):
            return wait
    return None


def _is_node(wait: Wait) -> bool:
    return wait.kind == "signal" or (wait.kind == "timer" and wait.cause in PAUSES)


def still_asked(waits: Mapping[int, Wait]) -> dict[int, Wait]:
    """Without the desks of operators about waits that no repair could end, once nothing is waited for (rule K2).

    What follows then is decided anew; an old desk would stand in its way.
    """
    about = {(wait.step, wait.item) for wait in waits.values() if wait.kind != "operator"}
    return {seq: wait for seq, wait in waits.items() if not is_about_repairs(wait) or (wait.step, wait.item) in about}

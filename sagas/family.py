"""The fold of a family: a child that was started, that turns back, and that ended (rule B5)."""

from uuid import UUID, uuid5

from sagas import events as e
from sagas.copies import changed
from sagas.events import Recorded
from sagas.folding import drop, key_of, with_step
from sagas.state import State, value_of


def child_id(parent: str, step: str, attempt: int) -> str:
    """The child's id: whoever starts it twice starts one saga."""
    return str(uuid5(UUID(parent), f"{step}/{attempt}"))


def child_started(state: State, event: e.ChildStarted) -> State:
    """The child is owed its start."""
    step = changed(
        state.step(*key_of(event)), status="running", attempt=event.attempt, dispatched=True, child=event.child_id
    )
    return with_step(drop(state, event), event, step)


def child_ended(state: State, event: e.ChildEnded, recorded: Recorded) -> State:
    """What a child that has completed gave; one that was compensated or closed has left nothing."""
    step, after = state.step(*key_of(event)), drop(state, event, "child")
    if event.status != "completed":
        return with_step(after, event, changed(step, status="failed", error=event.error))
    step = changed(step, status="succeeded", result=value_of(event.result, event.payload, recorded.sequence))
    return with_step(changed(after, facts={**state.facts, **event.facts}), event, step)

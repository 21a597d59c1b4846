"""What every part of the fold uses: records of steps, and the waits that come and go with an event."""

from sagas.copies import changed
from sagas.events import Event, Recorded
from sagas.manifest import Role
from sagas.state import NO_WAIT, Key, State, StepState, Wait
from sagas.statuses import WaitKind

Change = tuple[State, Wait | None]


def key_of(event: Event) -> Key:
    """The step that the event is about, and its item."""
    return (event.step or "", event.item)


def with_step(state: State, event: Event, step: StepState) -> State:
    """The state with this record of the event's step."""
    return changed(state, steps={**state.steps, key_of(event): step})


def without(state: State, *opened_by: int) -> State:
    """The state without these waits."""
    return changed(state, waits={seq: wait for seq, wait in state.waits.items() if seq not in opened_by})


def drop(state: State, event: Event, *kinds: WaitKind) -> State:
    """Without the waits of the event's step; of these kinds only, when any are named."""
    step, item = key_of(event)
    kept = {
        seq: wait
        for seq, wait in state.waits.items()
        if wait.step != step or wait.item != item or (kinds and wait.kind not in kinds)
    }
    return state if len(kept) == len(state.waits) else changed(state, waits=kept)


def opened(
    event: Event, recorded: Recorded, kind: WaitKind, role: Role = "step", after: float | None = None,
    cause: str | None = None,
) -> Wait:  # fmt: skip
    """A wait that the event opens, due `after` seconds."""
    wait = changed(
        NO_WAIT, opened_by=recorded.sequence, kind=kind, step=event.step, item=event.item, attempt=event.attempt,
        since=recorded.at, role=role,
    )  # fmt: skip
    if after is None and cause is None:
        return wait
    return changed(wait, due_at=None if after is None else recorded.at + after, cause=cause)

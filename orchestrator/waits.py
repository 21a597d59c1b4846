"""Rows of `waits` from the waits of a fold: with the queue, and with when each is to be looked at (rule A10)."""

from collections.abc import Sequence
from math import inf

from orchestrator.commands import role_of, timeout_of
from sagas.events import (
    ChildStarted,
    Event,
    Recorded,
    SagaCompensated,
    SagaCompleted,
    SagaReleased,
    StepResolved,
    UndoScheduled,
)
from sagas.manifest import Manifest
from sagas.ports import Move, WaitRow
from sagas.state import COMMAND_KINDS, State, Wait


def row_of(manifest: Manifest, saga_id: str, wait: Wait, lease_seconds: float) -> WaitRow:
    """The row of a wait. A command is checked after its timeout and two leases (rule L5); an operator has no date."""
    queue = priority = None
    due_at = inf if wait.due_at is None else wait.due_at
    if wait.kind in COMMAND_KINDS:
        node = manifest.by_name[wait.step or ""]
        queue, priority = node.queue, node.priority
        due_at = wait.since + timeout_of(node, role_of(wait)) + 2 * lease_seconds
    return WaitRow(
        saga_id=saga_id,
        opened_by=wait.opened_by,
        kind=wait.kind,
        step=wait.step,
        item=wait.item,
        attempt=wait.attempt,
        queue=queue,
        priority=priority,
        due_at=due_at,
        since=wait.since,
    )


def move_of(
    manifest: Manifest, before: State, after: State, events: tuple[Recorded, ...], lease_seconds: float
) -> Move:
    """The move from one head to the next, with the waits that it takes away and those that it brings."""
    gone = tuple(sorted(before.waits.keys() - after.waits.keys()))
    new = tuple(
        row_of(manifest, after.saga_id, after.waits[opened_by], lease_seconds)
        for opened_by in sorted(after.waits.keys() - before.waits.keys())
    )
    new += tuple(_owed(after, entry) for entry in events if is_message(manifest, after, entry.event))
    return Move(after.saga_id, before.version, after, events, gone, new)


def released(moves: Sequence[Move]) -> list[tuple[str, int, float | None]]:
    """The rows that releases have moved, sorted, each with when it is due by the fold; commands have no date there."""
    found: dict[tuple[str, int], float | None] = {}
    for move in moves:
        if any(isinstance(entry.event, SagaReleased) for entry in move.events):
            new = {row.opened_by for row in move.waits_new}
            found |= {
                (move.saga_id, opened_by): wait.due_at
                for opened_by, wait in move.state.waits.items()
                if opened_by not in new and (wait.due_at is not None or wait.kind in COMMAND_KINDS)
            }
    return [(*key, due_at) for key, due_at in sorted(found.items())]


def is_message(manifest: Manifest, state: State, event: Event) -> bool:
    """Whether another saga is to hear of this event (rule B5)."""
    match event:
        case ChildStarted():
            return True
        case UndoScheduled():
            return manifest.by_name[event.step or ""].kind == "child"
        case SagaCompleted() | SagaCompensated():
            return state.parent is not None
        case StepResolved(outcome="accept"):
            return state.parent is not None
        case _:
            return False


def _owed(state: State, entry: Recorded) -> WaitRow:
    """A message as a wait of its sender, due now; it goes without an event when its receiver has it."""
    event = entry.event
    return WaitRow(
        saga_id=state.saga_id, opened_by=entry.sequence, kind="notify", step=event.step, item=event.item,
        attempt=event.attempt, queue=None, priority=None, due_at=entry.at, since=entry.at,
    )  # fmt: skip

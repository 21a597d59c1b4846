"""Every fact that can be recorded about a saga: one record per event type, and their JSON form.

The set is closed (protocol.md, "Closed sets"). Each event has `step`, `item` and `attempt`, so that one query finds all
that happened to a step; an event of the whole saga leaves them `None`, `None` and 0. Durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Literal

from sagas.manifest import Role
from sagas.records import named_record, record

Json = Any
OutcomeKind = Literal["succeeded", "failed", "refused", "unknown"]
Resolution = Literal["happened", "did_not_happen", "skip", "undone", "accept"]
Failure = Mapping[str, Json]
"""What went wrong: `type`, `code`, `message`, `attempt`, `retryable`, and `happened` (false when nothing happened)."""


@named_record
class Event:
    """What all events share."""

    VERSION: ClassVar[int] = 1
    step: str | None = None
    item: int | None = None
    attempt: int = 0


@named_record
class SagaStarted(Event):
    """The saga was accepted. `facts` holds what its paths read of the input; `payload` is the hash of a large input.

    `parent` of a child: the saga that started it, and by which step and attempt.
    """

    definition: str
    fingerprint: str
    key: str | None = None
    input: Json = None
    payload: str | None = None
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])
    deadline: float | None = None
    parent: Mapping[str, Json] | None = None


@named_record
class SagaCompleted(Event):
    """Everything that was to be done is done."""


@named_record
class SagaTurnedBack(Event):
    """From here on what was done is undone. `cause`: failure, unknown, cancel, deadline, timeout or parent."""

    cause: str
    reason: str | None = None
    error: Failure | None = None


@named_record
class SagaCompensated(Event):
    """Everything that was done is undone."""


@named_record
class SagaFailed(Event):
    """Turning back came to rest: an undo gave up, and an operator must decide."""

    error: Failure | None = None


@named_record
class SagaReopened(Event):
    """A saga at rest goes on. `to` is the status that it has again."""

    cause: str
    to: Literal["active", "compensating"] = "compensating"


@named_record
class StepScheduled(Event):
    """An execution of the step is owed. `cause`: first, retry, worker_lost, lost, drained, refused or operator."""

    cause: str = "first"


@named_record
class StepStarted(Event):
    """A worker has been running the step for more than a second; it began `ago` seconds before this was recorded."""

    worker: str | None = None
    ago: float = 0.0


@named_record
class StepProgressed(Event):
    """The handler said how far it is."""

    percent: int
    message: str = ""


@named_record
class StepSucceeded(Event):
    """The step gave its result; `started_ago` and `ended_ago` are seconds before the record."""

    result: Json = None
    payload: str | None = None
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])
    worker: str | None = None
    started_ago: float = 0.0
    ended_ago: float = 0.0
    late: bool = False


@named_record
class StepFailed(Event):
    """An attempt failed and is known to have left nothing behind. With `retry_in` another follows; else it is final."""

    error: Failure
    role: Role = "step"
    retry_in: float | None = None
    worker: str | None = None
    started_ago: float = 0.0


@named_record
class StepRefused(Event):
    """Nothing ran: no handler, draining, held or an open breaker. It is offered again after `again_in` seconds."""

    reason: str
    role: Role = "step"
    again_in: float | None = None
    worker: str | None = None


@named_record
class StepOutcomeUnknown(Event):
    """An attempt may or may not have happened. `cause`: timed_out, worker_lost, lost, drained, cancelled or error.

    `retry_in` is the delay of a budgeted retry; `again` says that another attempt follows at once, outside the budget.
    """

    cause: str
    role: Role = "step"
    error: Failure | None = None
    retry_in: float | None = None
    again: bool = False
    worker: str | None = None
    started_ago: float = 0.0


@named_record
class StepSkipped(Event):
    """The step is not needed. `why`: when, unless, left_out or operator."""

    why: str


@named_record
class FallbackScheduled(Event):
    """The step failed for good; its fallback is owed."""

    cause: str
    reason: str | None = None


@named_record
class FallbackUsed(Event):
    """The fallback's result stands for the step's."""

    result: Json = None
    payload: str | None = None
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])
    reason: str | None = None
    worker: str | None = None


@named_record
class ProbeScheduled(Event):
    """Somebody is asked whether the step happened."""

    cause: str = "unknown"


@named_record
class ProbeAnswered(Event):
    """The probe said whether the step happened; `retry_in` delays the next question after `cannot_tell`."""

    answer: Literal["happened", "did_not_happen", "cannot_tell"]
    result: Json = None
    payload: str | None = None
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])
    why: str | None = None
    retry_in: float | None = None


@named_record
class UndoScheduled(Event):
    """An execution of the undo is owed. `cause`: turned_back, retry, late_success, late_unknown, operator and so on."""

    cause: str = "turned_back"


@named_record
class StepUndone(Event):
    """The step is undone. `closed`: it was found never to have happened and can never happen any more (rule T2)."""

    closed: bool = False
    worker: str | None = None


@named_record
class UndoFailed(Event):
    """An attempt of the undo did not succeed. Without `retry_in` and `again` the undo has given up."""

    error: Failure
    cause: str = "failed"
    retry_in: float | None = None
    again: bool = False
    worker: str | None = None


@named_record
class WaitOpened(Event):
    """The saga waits for something that no other event opens. `cause` says what an operator is asked to decide.

    `role` of a retry is what is scheduled when it ends: what an outcome asked for while the saga was held (rule B7).
    """

    kind: Literal["retry", "timer", "signal", "breaker", "child", "deadline", "operator"]
    role: Role = "step"
    cause: str | None = None
    due_in: float | None = None
    error: Failure | None = None


@named_record
class SignalReceived(Event):
    """A signal came in; it is buffered until the wait of its name asks for it (rule B6). `taken`: it asked already."""

    name: str
    value: Json = None
    payload: str | None = None
    taken: bool = False
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])


@named_record
class TimerFired(Event):
    """A wait that only time ends has ended. `opened_by` names it."""

    opened_by: int
    kind: str


@named_record
class ChildStarted(Event):
    """A child is owed its start (rule B5)."""

    child_id: str
    definition: str


@named_record
class ChildEnded(Event):
    """A child reached its end: completed, compensated, or closed by an operator."""

    child_id: str
    status: str
    result: Json = None
    payload: str | None = None
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])
    error: Failure | None = None


@named_record
class LateOutcomeSeen(Event):
    """A second word about an attempt that was judged before (rule O4). `reopens`: its effect has to be undone again."""

    outcome: OutcomeKind
    role: Role = "step"
    cause: str | None = None
    result: Json = None
    payload: str | None = None
    reopens: bool = False
    worker: str | None = None


@named_record
class SagaHeld(Event):
    """An operator stopped everything new."""

    reason: str


@named_record
class SagaReleased(Event):
    """A held saga goes on; its due times move by the `length` of the hold in seconds."""

    reason: str
    length: float = 0.0


@named_record
class CancelRequested(Event):
    """Somebody wants the saga turned back."""

    reason: str


@named_record
class RetryRequested(Event):
    """An operator wants the step, or its undo, tried again; or its probe asked, before it is `resolving` (rule T2)."""

    reason: str
    role: Role = "step"
    resolving: Resolution | None = None


@named_record
class ValueCorrected(Event):
    """An operator gave another value to a step's result, or to the input (no step)."""

    reason: str
    value: Json = None
    payload: str | None = None
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])


@named_record
class StepResolved(Event):
    """An operator said what is true of the step: happened, did_not_happen, skip, undone or accept."""

    outcome: Resolution
    reason: str
    result: Json = None
    payload: str | None = None
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])


@named_record
class SagaMigrated(Event):
    """The saga goes on by another version of its definition. `facts` holds what the new paths read of known values."""

    fingerprint: str
    reason: str = ""
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])


@named_record
class RepairApplied(Event):
    """The reconciler put something right."""

    finding: str
    repair: str


@named_record
class BreakerOpened(Event):
    """A breaker stopped calls to what it protects, for `open_for` seconds."""

    breaker: str
    open_for: float


@named_record
class BreakerHalfOpened(Event):
    """A breaker lets a few calls try."""

    breaker: str


@named_record
class BreakerClosed(Event):
    """A breaker lets all calls through again."""

    breaker: str


EVENT_TYPES: Mapping[str, type[Event]] = {
    kind.__name__: kind for kind in Event.__subclasses__() if "__slots__" in vars(kind)
}


@record
class Recorded:
    """An event with its place in the saga's history.

    `sequence` counts from 1; `at` is the database's clock, in seconds since 1970; `causation` the input's id (rule A1).
    """

    event: Event
    sequence: int
    at: float
    causation: str
    actor: str | None = None
    trace: str | None = None

"""The inputs of `Engine.apply`: everything that can change a saga, as data (rule A1).

Each has an id, which its events keep as their causation id. Instants are seconds since 1970 by the database's clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Literal, Protocol

from sagas.events import Failure, Json, OutcomeKind, Resolution
from sagas.manifest import Manifest, Role
from sagas.records import named_record, record
from sagas.state import Parent

UnknownCause = Literal["timed_out", "worker_lost", "lost", "drained", "cancelled", "error"]
RefusalReason = Literal["no_handler", "no_resource", "drained", "held", "breaker", "busy"]


@record
class Start:
    """A saga is wanted. `input` is normalised already (def_R22); `request_id` is the id of the call.

    `payload` is the hash under which a large input is kept.
    """

    saga_id: str
    manifest: Manifest
    input: Json
    payload: str | None = None
    key: str | None = None
    request_id: str = ""
    actor: str | None = None
    trace: str | None = None
    parent: Parent | None = None

    @property
    def id(self) -> str:
        """The causation id of the events that follow."""
        return self.request_id or f"start/{self.saga_id}"

    @property
    def kept(self) -> Json:
        """The input as its event carries it: nothing, where it is kept as a payload."""
        return None if self.payload is not None else self.input


@record
class Outcome:
    """What a worker, or who took its command over, says of one attempt (rule O1).

    `started_ago` and `ended_ago` are seconds before it was sent; `retry_after` is the least delay that a handler asked
    for. `result` is known even where it is kept under the hash `payload`, for the facts in it. `closed` (undo, probe
    and fallback of a transaction step) says that the step's key was closed and that it had never happened; `happened`
    that the key held a result, which `result` is (rule T2), `fallback` (probe) that it was the fallback's. `signature`
    is the keyed hash of rule C8; empty until it is checked.
    """

    saga_id: str
    opened_by: int
    attempt: int
    step: str
    item: int | None
    role: Role
    kind: OutcomeKind
    result: Json = None
    payload: str | None = None
    error: Failure | None = None
    cause: UnknownCause | RefusalReason | None = None
    retry_after: float | None = None
    closed: bool = False
    happened: bool = False
    fallback: bool = False
    started_ago: float = 0.0
    ended_ago: float = 0.0
    worker: str | None = None
    trace: str | None = None
    signature: str = ""

    @property
    def id(self) -> str:
        """`opened_by/attempt/kind`, and the cause of an unknown: a takeover's verdict is not a zombie's (rule A1)."""
        judged = f"/{self.cause}" if self.kind == "unknown" else ""
        return f"{self.opened_by}/{self.attempt}/{self.kind}{judged}"

    @property
    def kept(self) -> Json:
        """The result as its event carries it: nothing, where it is kept as a payload."""
        return None if self.payload is not None else self.result


@record
class Started:
    """A worker has been running an attempt for more than a second."""

    saga_id: str
    opened_by: int
    attempt: int
    step: str
    item: int | None
    ago: float
    worker: str | None = None
    trace: str | None = None

    @property
    def id(self) -> str:
        """The causation id of `StepStarted`."""
        return f"{self.opened_by}/{self.attempt}/started"


@record
class Progressed:
    """The handler of an attempt said how far it is; `number` counts what is reported of the attempt, from 1."""

    saga_id: str
    opened_by: int
    attempt: int
    step: str
    item: int | None
    number: int
    percent: int
    message: str = ""
    worker: str | None = None
    trace: str | None = None

    @property
    def id(self) -> str:
        """The causation id of `StepProgressed`."""
        return f"{self.opened_by}/{self.attempt}/progress/{self.number}"


@record
class Due:
    """A wait's time has come. For a command, `verdict` is what the check of rule L5 or the sweep of rule C1 found.

    For a step's start limit `withdrawn` says that its command was taken back before anybody had read it.
    """

    saga_id: str
    opened_by: int
    verdict: Literal["fire", "lost", "timed_out", "withdrawn"] = "fire"
    trace: str | None = None

    @property
    def id(self) -> str:
        """The causation id: the wait's own."""
        return f"{self.opened_by}" if self.verdict == "fire" else f"{self.opened_by}/{self.verdict}"


@record
class Request:
    """What a person, or a program in their place, asks of one saga. `request_id` is the id of the call.

    `expected` is the version that was seen: what has moved since is not touched.
    """

    saga_id: str
    reason: str
    request_id: str
    actor: str | None = None
    trace: str | None = None
    expected: int | None = None

    @property
    def id(self) -> str:
        """The causation id of the events that follow."""
        return self.request_id


@record
class Cancel(Request):
    """The saga is to be turned back."""


@record
class Hold(Request):
    """Nothing new is to be done until the saga is released (rule B7)."""


@record
class Release(Request):
    """A held saga is to go on (rule B7)."""


@named_record
class TryAgain(Request):
    """The step, or its undo, is to be tried again: one that waits for an operator, or for its delay.

    `undo` says that it is the undo that is meant, and nothing else.
    """

    step: str
    item: int | None = None
    undo: bool = False


@named_record
class Valued(Request):
    """A request that brings a value: of a step, or of the saga where none is named. It is normalised already."""

    step: str | None = None
    item: int | None = None
    value: Json = None
    payload: str | None = None

    @property
    def kept(self) -> Json:
        """The value as its event carries it: nothing, where it is kept as a payload."""
        return None if self.payload is not None else self.value


@named_record
class Correct(Valued):
    """A step's result was wrong, or the input where no step is named."""


@named_record
class Resolve(Valued):
    """Somebody knows what is true of a step when the saga does not. `accept`, without a step, closes the saga."""

    outcome: Resolution


@named_record
class Migrate(Request):
    """The saga is to go on by another version of its definition; `facts` is what its paths read of known values."""

    manifest: Manifest
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])


@record
class ParentTurnsBack:
    """The parent turns back, and with it its child, also one that has completed (rule B5, def_R24)."""

    saga_id: str
    message: str
    trace: str | None = None

    @property
    def id(self) -> str:
        """The causation id of the events that follow: the message's."""
        return self.message


@record
class ChildEnds:
    """A child tells its parent that it has ended; `status` is completed, compensated or closed (rule B5)."""

    saga_id: str
    message: str
    child_id: str
    step: str
    attempt: int
    status: str
    result: Json = None
    payload: str | None = None
    trace: str | None = None

    @property
    def id(self) -> str:
        """The causation id of the events that follow: the message's."""
        return self.message

    @property
    def kept(self) -> Json:
        """The result as its event carries it: nothing, where it is kept as a payload."""
        return None if self.payload is not None else self.result


@record
class Send:
    """Somebody sends the signal `name` (rule B6). `value` is normalised already, and may be kept as a payload."""

    saga_id: str
    name: str
    value: Json
    request_id: str
    payload: str | None = None
    actor: str | None = None
    trace: str | None = None
    expected: int | None = None

    @property
    def id(self) -> str:
        """The causation id of the events that follow."""
        return self.request_id

    @property
    def kept(self) -> Json:
        """The value as its event carries it: nothing, where it is kept as a payload."""
        return None if self.payload is not None else self.value


@record
class Repair:
    """The reconciler ends a wait that nobody ended (rule K2); `finding` says what it saw."""

    saga_id: str
    opened_by: int
    finding: str
    actor: str | None = "reconciler"
    trace: str | None = None

    @property
    def id(self) -> str:
        """The causation id of the events that follow."""
        return f"repair/{self.finding}/{self.opened_by}"


Word = Outcome | Started | Progressed
"""What a worker says of an attempt."""

Asked = Cancel | Hold | Release | TryAgain | Correct | Resolve | Migrate
"""What people ask."""

Message = ParentTurnsBack | ChildEnds
"""What sagas tell one another; a start is the third."""

Input = Start | Word | Due | Asked | Send | Message | Repair
Facts = Mapping[str, bool | int]

AnswerCode = Literal["accepted", "created", "known", "conflict", "refused", "moved", "newer", "not_found", "nothing"]


@record
class Answer:
    """What became of an input.

    `accepted`: events were appended. `created`, `known`, `conflict`: what a start met (def_R23). `refused`: it makes no
    sense now, and `detail` says why. `moved`: the saga is no longer at the version that was expected.
    `newer`: only a newer program can decide it; it must come again. `nothing`: it changes nothing (a duplicate, a wait
    that is over).
    """

    code: AnswerCode
    saga_id: str
    version: int = 0
    status: str = "active"
    detail: str | None = None


class Applies(Protocol):
    """The one way in, as those see it who may not import the orchestrator (rule A1, C5)."""

    async def apply(self, inputs: Sequence[Input]) -> Sequence[Answer]:
        """Decide these inputs and append what follows in one commit."""
        ...

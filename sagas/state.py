"""What is known of one saga: the head that `evolve` folds from its events, and its JSON form.

The head is small: a status per step and item, the waits that are open, and where results are found, never results above
256 bytes (rule A10).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

import orjson

from sagas.events import Failure, Json, Resolution
from sagas.manifest import Role
from sagas.records import record
from sagas.statuses import SagaStatus, StepStatus, WaitKind
from sagas.versions import FORMAT, RELEASES

Key = tuple[str, int | None]
"""A step, and the index of its item under `each`."""
Waiting = tuple[str, int]
"""A wait: the saga, and the event that opened it."""

COMMAND_KINDS: frozenset[str] = frozenset({"step", "undo", "probe", "fallback"})
INLINE_BYTES_MAX = 256
OPEN: frozenset[StepStatus] = frozenset({"scheduled", "running", "retrying"})
DONE: frozenset[StepStatus] = frozenset({"succeeded", "skipped"})


@record
class Parent:
    """Who started a saga: a step of another, and which attempt of it."""

    saga_id: str
    step: str
    attempt: int


@record
class Value:
    """Where a result is found: here (`inline`), in the event `event`, or in the payload whose hash is `payload`."""

    inline: Json = None
    event: int | None = None
    payload: str | None = None


NOTHING = Value()


class _Part:
    """A part of a head, which keeps its JSON once that was asked for: most stay as they are in the next head."""

    __slots__ = ("document",)
    document: ClassVar[orjson.Fragment]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, values: dict[str, Any]) -> None:
        _set(self, "__dict__", values)


@dataclass(frozen=True)
class Wait(_Part):
    """Something that the saga waits for, opened by the event `opened_by` at `since`.

    `due_at` is when it ends by itself. A command has none in the fold: when it is to be checked is for the store to say
    (rule A10). `role` of a `retry` wait is what is scheduled when it ends.
    """

    opened_by: int
    kind: WaitKind
    step: str | None = None
    item: int | None = None
    attempt: int = 0
    since: float = 0.0
    due_at: float | None = None
    role: Role = "step"
    cause: str | None = None


class _AboutStep(Protocol):
    """A wait, or its row."""

    @property
    def kind(self) -> WaitKind: ...

    @property
    def step(self) -> str | None: ...


def is_start_limit(wait: _AboutStep) -> bool:
    """Whether it is the instant by which somebody must have begun a step, and not the saga's own deadline."""
    return wait.kind == "deadline" and wait.step is not None


@dataclass(frozen=True)
class StepState(_Part):
    """One step, or one item of it.

    `attempt` is the last number given out, for whatever role. `retries`, `undo_tries`, `probes` and `refusals` count
    what their budgets have used; `workers_lost` and `lost` count towards poison (rules L2, L5). `maybe` says that an
    attempt may have happened that nothing has answered (rule O2), `maybe_at` when the last attempt was left alone that
    may still run;
    `tried` is the last role that was no probe; `resolving` what an operator said of a step whose key is being closed.
    `signals` counts what was sent to a wait: its result is the first. `child` is the saga that the node started.
    `evidence` is the sequence number of the last sign that there is something to undo (rule O4).
    `left_out` stays: the list had ended without the item, whatever a late word makes of it.
    """

    status: StepStatus = "pending"
    attempt: int = 0
    role: Role = "step"
    tried: Role = "step"
    resolving: Resolution | None = None
    retries: int = 0
    undo_tries: int = 0
    probes: int = 0
    refusals: int = 0
    workers_lost: int = 0
    lost: int = 0
    signals: int = 0
    child: str | None = None
    dispatched: bool = False
    maybe: bool = False
    maybe_at: float = 0.0
    evidence: int = 0
    left_out: bool = False
    result: Value | None = None
    fallback: bool = False
    reason: str | None = None
    error: Failure | None = None


@dataclass(frozen=True)
class State:
    """The head of one saga. `version` is the sequence number of its last event, 0 before the first.

    `format` says which program can read it (sagas/versions.py), `release` of a newer one which is the first that can.
    """

    saga_id: str
    definition: str = ""
    fingerprint: str = ""
    key: str | None = None
    status: SagaStatus = "active"
    version: int = 0
    started_at: float = 0.0
    ended_at: float | None = None
    input: Value = NOTHING
    facts: Mapping[str, bool | int] = field(default_factory=dict[str, bool | int])
    steps: Mapping[Key, StepState] = field(default_factory=dict[Key, StepState])
    waits: Mapping[int, Wait] = field(default_factory=dict[int, Wait])
    held: bool = False
    held_at: float = 0.0
    closed: bool = False
    trace: str | None = None
    parent: Parent | None = None
    repairs: Mapping[str, int] = field(default_factory=dict[str, int])
    back_cause: str | None = None
    back_reason: str | None = None
    error: Failure | None = None
    format: int = 1
    release: str | None = None

    @classmethod
    def before(cls, saga_id: str) -> "State":
        """Of a saga that nothing has happened to."""
        return _record(cls, {"saga_id": saga_id, "facts": {}, "steps": {}, "waits": {}, "repairs": {}})

    def step(self, name: str, item: int | None = None) -> StepState:
        """The step's state; one that nothing has happened to is pending."""
        return self.steps.get((name, item), PENDING)

    def wait_of(self, name: str | None, item: int | None, *kinds: WaitKind) -> Wait | None:
        """The open wait of one of these kinds for a step, or for the saga itself, if there is one."""
        for wait in self.waits.values():
            if wait.step == name and wait.item == item and wait.kind in kinds:
                return wait
        return None

    @property
    def newer(self) -> bool:
        """Whether a newer program wrote to the saga: all that is known here is which it is, and how it stands."""
        return self.format > FORMAT

    @property
    def terminal(self) -> bool:
        """Whether the saga has ended: nothing runs any more, for ever."""
        return self.status in ("completed", "compensated")

    def to_json(self) -> bytes:
        """The compact form of `state` in the table `sagas`: what equals its default is left out."""
        document = _compact(self)
        if self.steps:
            document["steps"] = [[*key, _document(step)] for key, step in self.steps.items()]
        if self.waits:
            document["waits"] = [_document(wait) for wait in self.waits.values()]
        if self.format > 1:
            document["release"] = RELEASES[self.format]
        return orjson.dumps(document)

    @classmethod
    def from_json(cls, document: bytes | str) -> "State":
        """Read what `to_json` wrote. Of what a newer program wrote, only what stays as it is for ever."""
        data: dict[str, Any] = orjson.loads(document)
        release = data.pop("release", None)
        if data.get("format", 1) > FORMAT:
            return _unread(data, release)
        try:
            return cls._read(data)
        except TypeError:  # a field that is unknown here
            return _unread(orjson.loads(document), release)

    @classmethod
    def _read(cls, data: dict[str, Any]) -> "State":
        if "parent" in data:
            data["parent"] = Parent(**data["parent"])
        steps = {(name, item): _record(StepState, entry) for name, item, entry in data.get("steps", ())}
        waits = {entry["opened_by"]: _record(Wait, entry) for entry in data.get("waits", ())}
        return _record(cls, {"facts": {}, "repairs": {}, **data, "steps": steps, "waits": waits})


R = TypeVar("R", State, StepState, Wait)
EMPTY = State(saga_id="")
KEPT = ("saga_id", "definition", "fingerprint", "status", "version", "key", "held", "closed", "started_at", "ended_at")
_DEFAULTS: Mapping[type, Mapping[str, Any]] = {
    kind: {entry.name: entry.default for entry in dataclasses.fields(kind)} for kind in (StepState, Wait)
} | {State: {entry.name: getattr(EMPTY, entry.name) for entry in dataclasses.fields(State)}}
_NAMES: Mapping[type, frozenset[str]] = {kind: frozenset(defaults) for kind, defaults in _DEFAULTS.items()}
_OWN = frozenset({"steps", "waits"})
_new, _set = object.__new__, object.__setattr__


def _compact(record: State | StepState | Wait) -> dict[str, Any]:
    """What differs from its default, but for steps and waits."""
    defaults = _DEFAULTS[type(record)]
    document: dict[str, Any] = {}
    for name, value in record.__dict__.items():
        default = defaults[name]
        if value is default or value == default or name in _OWN:
            continue
        document[name] = value if type(value) is not Value else _place(value)
    return document


def _document(record: StepState | Wait) -> orjson.Fragment:
    try:
        return record.document
    except AttributeError:
        _set(record, "document", document := orjson.Fragment(orjson.dumps(_compact(record))))
        return document


def _place(value: Value) -> dict[str, Any]:
    places = {"inline": value.inline, "event": value.event, "payload": value.payload}
    return {name: place for name, place in places.items() if place is not None}


def _record(kind: type[R], data: dict[str, Any]) -> R:
    """A record that keeps what is given; for all else the defaults of its class stand.

    Raises:
        TypeError: a field is unknown here.
    """
    if not _NAMES[kind].issuperset(data):
        raise TypeError(f"{kind.__name__} has no field {min(data.keys() - _DEFAULTS[kind].keys())}")
    if "result" in data:
        data["result"] = Value(**data["result"])
    elif "input" in data:
        data["input"] = Value(**data["input"])
    record = _new(kind)
    _set(record, "__dict__", data)
    return record


PENDING = _record(StepState, {})
NO_WAIT = _record(Wait, {})
"""What waits are made of: those that are opened name what differs."""


def _unread(data: Mapping[str, Any], release: str | None) -> State:
    """The head of a saga that a newer program wrote to."""
    kept = {name: data[name] for name in KEPT if name in data}
    return State(**kept, format=max(data.get("format", 1), FORMAT + 1), release=release)


def value_of(result: Json, payload: str | None, sequence: int) -> Value:
    """Where a result stands that the event `sequence` carries."""
    if payload is not None:
        return Value(payload=payload)
    if result is None or isinstance(result, bool | int | float):
        return Value(inline=result)
    try:
        small = len(orjson.dumps(result)) <= INLINE_BYTES_MAX
    except TypeError:
        small = False  # no JSON: the store refuses it (rule A9)
    return Value(inline=result) if small else Value(event=sequence)

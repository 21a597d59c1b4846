"""Events as JSON: what stands in `event_data`, and back."""

from collections.abc import Mapping
from dataclasses import MISSING, fields

from sagas.events import (
    EVENT_TYPES,
    ChildEnded,
    Event,
    FallbackUsed,
    Json,
    LateOutcomeSeen,
    ProbeAnswered,
    SagaStarted,
    SignalReceived,
    StepResolved,
    StepSucceeded,
    ValueCorrected,
)
from sagas.records import values_of
from sagas.versions import Newer, is_newer, upcast


def _defaults(kind: type[Event]) -> tuple[tuple[str, Json], ...]:
    return tuple(
        (field.name, field.default if field.default_factory is MISSING else field.default_factory())
        for field in fields(kind)
    )


_DEFAULTS = {kind: _defaults(kind) for kind in EVENT_TYPES.values()}


def encode(event: Event) -> dict[str, Json]:
    """The event's data as JSON-able values. What equals its default is left out, but for `step`."""
    if isinstance(event, Newer):
        return dict(event.data)
    kind = type(event)
    return {
        name: value
        for (name, default), value in zip(_DEFAULTS[kind], values_of(kind)(event), strict=True)
        if value is not default and value != default
    }


def value_in(event: Event) -> Json:
    """The value that an event carries: an input, a result, or what somebody sent."""
    match event:
        case SagaStarted():
            return event.input
        case SignalReceived() | ValueCorrected():
            return event.value
        case StepSucceeded() | FallbackUsed() | ProbeAnswered() | ChildEnded() | LateOutcomeSeen() | StepResolved():
            return event.result
        case _:
            return None


def decode(kind: str, data: Mapping[str, Json], version: int = 1) -> Event:
    """The event of type `kind` that `encode` wrote in this version of the type; `Newer` if a newer program did.

    Raises:
        KeyError, TypeError: an upcaster is missing, or the data does not fit.
    """
    if is_newer(kind, version):
        return Newer(
            step=data.get("step"), item=data.get("item"), attempt=data.get("attempt", 0), type=kind, version=version,
            data=data,
        )  # fmt: skip
    return EVENT_TYPES[kind](**upcast(kind, version, data))

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


def _defaults(kind: type[Event]) -> tuple[tuple[str, Json], ...]:
    return tuple(
        (field.name, field.default if field.default_factory is MISSING else field.default_factory())
        for field in fields(kind)
    )


_DEFAULTS = {kind: _defaults(kind) for kind in EVENT_TYPES.values()}


def encode(event: Event) -> dict[str, Json]:
    """The event's data as JSON-able values. What equals its default is left out, but for `step`."""
    data: dict[str, Json] = {}
    for name, default in _DEFAULTS[type(event)]:
        value = getattr(event, name)
        if value is not default and value != default:
            data[name] = value
    return data


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


def decode(kind: str, data: Mapping[str, Json]) -> Event:
    """The event of type `kind` that `encode` wrote.

    Raises:
        KeyError: no event type has this name.
        TypeError: the data does not fit the type; an upcaster is missing.
    """
    return EVENT_TYPES[kind](**data)

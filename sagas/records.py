"""Records: values that nobody changes. The type checkers see to that, so making one costs a third (decision 0024)."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, TypeVar, cast, dataclass_transform

R = TypeVar("R")
_NAMES: dict[type, tuple[str, ...]] = {}
_PLACES: dict[type, dict[str, int]] = {}
_NAMED: set[type] = set()
"""Those whose fields are given by name alone."""
_GETTERS: dict[type, Callable[[object], tuple[Any, ...]]] = {}


@dataclass_transform(frozen_default=True)
def record(kind: type[R]) -> type[R]:
    """A dataclass with slots whose fields the type checkers hold to be frozen."""
    return dataclass(slots=True, unsafe_hash=True)(kind)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def named_record(kind: type[R]) -> type[R]:
    """A record whose fields are given by name alone."""
    made = dataclass(slots=True, unsafe_hash=True, kw_only=True)(kind)
    _NAMED.add(made)
    return made


def replace(before: R, /, **changes: Any) -> R:
    """A record with other values in some fields, as `dataclasses.replace` gives it, in a third of the time.

    Raises:
        KeyError: it has no field of that name.
    """
    kind = type(before)
    values = list(values_of(kind)(before))
    places = _places_of(kind)
    for name, value in changes.items():
        values[places[name]] = value
    return _made(kind, values)


def _made(kind: type[R], values: list[Any]) -> R:
    if kind not in _NAMED:
        return kind(*values)
    copy = object.__new__(kind)
    for name, value in zip(_names_of(kind), values, strict=True):
        setattr(copy, name, value)
    return copy


def _places_of(kind: type) -> dict[str, int]:
    found = _PLACES.get(kind)
    if found is None:
        found = _PLACES[kind] = {name: place for place, name in enumerate(_names_of(kind))}
    return found


def values_of(kind: type) -> Callable[[object], tuple[Any, ...]]:
    """What gives the values of all fields of a record, in their order."""
    found = _GETTERS.get(kind)
    if found is None:
        names = _names_of(kind)
        found = _GETTERS[kind] = attrgetter(*names) if len(names) > 1 else _values_one_by_one
    return found


def _values_one_by_one(one: object) -> tuple[Any, ...]:
    return tuple(getattr(one, name) for name in _names_of(type(one)))


def _names_of(kind: type) -> tuple[str, ...]:
    found = _NAMES.get(kind)
    if found is None:
        found = _NAMES[kind] = tuple(entry.name for entry in fields(cast("Any", kind)))
    return found

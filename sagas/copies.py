"""Copies of frozen records with other values in some fields: what the fold does most, so it is done fast.

A record keeps in its `__dict__` what it was given; for all else the defaults of its class stand.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sagas.state import R, State, StepState, Wait

_NAMES: Mapping[type, frozenset[str]] = {
    kind: frozenset(field.name for field in dataclasses.fields(kind)) for kind in (State, StepState, Wait)
}
_new, _set = object.__new__, object.__setattr__


def replace(record: R, /, **changes: Any) -> R:
    """The record with these changes, as `dataclasses.replace` gives it, in a tenth of the time.

    Raises:
        KeyError: it has no field of that name.
    """
    kind = type(record)
    if not _NAMES[kind].issuperset(changes):
        raise KeyError(f"{kind.__name__} has no field {min(changes.keys() - _NAMES[kind])}")
    copy = _new(kind)
    _set(copy, "__dict__", record.__dict__ | changes)
    return copy

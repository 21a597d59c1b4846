"""Copies of frozen records with other values in some fields: what the fold does most, so it is done fast.

A record keeps in its `__dict__` what it was given; for all else the defaults of its class stand.
"""

from typing import Any

from sagas.state import R

_new, _set = object.__new__, object.__setattr__


def changed(record: R, /, **changes: Any) -> R:
    """The record with these changes, as `dataclasses.replace` gives it, in a tenth of the time.

    Nobody looks at the names here: tests/house does.
    """
    copy = _new(type(record))
    _set(copy, "__dict__", record.__dict__ | changes)
    return copy

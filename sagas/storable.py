"""What PostgreSQL or JSON cannot keep is refused at every edge (rule A9).

Text with NUL or halves of surrogate pairs, numbers that are none, and integers of more than 64 bits.
"""

import math
from collections.abc import Callable
from typing import Any

import orjson

NUL = "\x00"
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1


def unstorable(value: Any) -> str | None:
    """Where in a JSON value such text stands, as `field.field[0]`; None when there is none. Cheap where all is well."""
    try:
        if b"\\u0000" not in orjson.dumps(value):
            return None
    except TypeError:  # half a surrogate pair, most likely
        return _find(value, "") or "value"
    return _find(value, "")


def complaint(value: Any) -> tuple[str, str] | None:
    """Where in a value that is to become JSON something stands that cannot be kept, and why; None when all is well."""
    try:
        document = orjson.dumps(value)
        if b"\\u0000" not in document and b"null" not in document:
            return None
    except TypeError:
        pass  # half a surrogate pair or a large integer: the search below finds it
    for why, is_unfit in (
        ("holds a NUL or half a surrogate pair", _is_bad_text),
        ("is no number (nan or infinite), which JSON cannot say", _is_no_number),
        ("has more than 64 bits, which JSON readers cut off: give it as text", _is_too_large),
    ):
        if (place := _find(value, "", is_unfit)) is not None:
            return place, why
    return None


def _is_bad_text(value: object) -> bool:
    return isinstance(value, str) and (NUL in value or any("\ud800" <= letter <= "\udfff" for letter in value))


def _is_no_number(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _is_too_large(value: object) -> bool:
    return isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX


def _find(value: object, place: str, is_unfit: Callable[[object], bool] = _is_bad_text) -> str | None:
    if is_unfit(value):
        return place or "value"
    for name, part in _parts(value):
        if (found := _find(part, f"{place}{name}".lstrip("."), is_unfit)) is not None:
            return found
    return None


def _parts(value: Any) -> list[tuple[str, object]]:
    """What a value holds, with how a path goes on to it; names count as parts too."""
    kind = type(value).__name__
    if kind == "dict":
        return [(f".{name}", part) for name in value for part in (name, value[name])]
    if kind == "list":
        return [(f"[{place}]", value[place]) for place in range(len(value))]
    return []

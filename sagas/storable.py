"""What PostgreSQL or JSON cannot keep is refused at every edge (rule A9).

Text with NUL or halves of surrogate pairs, numbers that are none, and integers of more than 64 bits.
"""

import math
import re
from typing import Any

import orjson

BAD_TEXT = re.compile("[\x00\ud800-\udfff]")
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
Complaint = tuple[str, str]
"""Where in a value something stands that cannot be kept, as `field.field[0]`, and why it cannot."""


def unstorable(value: Any) -> str | None:
    """Where in a JSON value text stands that cannot be kept; None when there is none. Cheap where all is well."""
    try:
        if b"\\u0000" not in orjson.dumps(value):
            return None
    except TypeError as unfit:
        return (_find(value, "") or _unfit(unfit))[0]
    found = _find(value, "")
    return found[0] if found is not None else None


def complaint(value: Any) -> Complaint | None:
    """What of a value that is to become JSON cannot be kept; None when all is well."""
    try:
        document = orjson.dumps(value)
    except TypeError as unfit:
        return _find(value, "") or _unfit(unfit)
    suspicious = b"\\u0000" in document or b"null" in document  # what is no number was written as null
    return _find(value, "") if suspicious else None


def _unfit(unfit: TypeError) -> Complaint:
    return "value", f"cannot become JSON: {unfit}"


def _find(value: object, place: str) -> Complaint | None:
    if (why := _judge(value)) is not None:
        return place or "value", why
    for name, part in _parts(value):
        if (found := _find(part, f"{place}{name}".lstrip("."))) is not None:
            return found
    return None


def _judge(value: object) -> str | None:
    if isinstance(value, str) and BAD_TEXT.search(value):
        return "holds a NUL or half a surrogate pair"
    if isinstance(value, float) and not math.isfinite(value):
        return "is no number (nan or infinite), which JSON cannot say"
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        return "has more than 64 bits, which JSON readers cut off: give it as text"
    return None


def _parts(value: Any) -> list[tuple[str, object]]:
    """What a value holds, with how a path goes on to it; names count as parts too."""
    kind = type(value).__name__
    if kind == "dict":
        return [(f".{name}", part) for name in value for part in (name, value[name])]
    if kind == "list":
        return [(f"[{place}]", value[place]) for place in range(len(value))]
    return []

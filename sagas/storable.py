"""Text that PostgreSQL cannot keep is refused at every edge: NUL, and halves of surrogate pairs (rule A9)."""

from typing import Any

import orjson

NUL = "\x00"


def unstorable(value: Any) -> str | None:
    """Where in a JSON value such text stands, as `field.field[0]`; None when there is none. Cheap where all is well."""
    try:
        if b"\\u0000" not in orjson.dumps(value):
            return None
    except TypeError:  # half a surrogate pair, most likely
        return _find(value, "") or "value"
    return _find(value, "")


def _find(value: object, place: str) -> str | None:
    if isinstance(value, str):
        return (place or "value") if NUL in value or any("\ud800" <= letter <= "\udfff" for letter in value) else None
    for name, part in _parts(value):
        if (found := _find(part, f"{place}{name}".lstrip("."))) is not None:
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

"""What a decision needs to know of values: whether a `when` holds and how many items an `each` has (def_R15, def_R16).

Facts are taken when a value comes in and kept in its event, so that the head never holds values that paths read.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from sagas.events import Json
from sagas.manifest import Manifest


def look_up(value: Json, fields: list[str]) -> Json:
    """The value behind `.field.field`; what is missing is null (def_R27)."""
    for name in fields:
        value = cast("Mapping[str, Json]", value).get(name) if isinstance(value, Mapping) else None
    return value


def length_of(value: Json) -> int:
    """How many elements a list has; anything else has none."""
    return len(cast("Sequence[Json]", value)) if isinstance(value, list) else 0


def facts_of(manifest: Manifest, source: str, value: Json) -> dict[str, bool | int]:
    """The facts that `source` (`input` or a step) contributes, by `kind:path`."""
    found: dict[str, bool | int] = {}
    for path, kind in manifest.paths:
        head, *fields = path.split(".")
        if head != source:
            continue
        met = look_up(value, fields)
        if kind == "each":
            found[f"each:{path}"] = length_of(met)
        else:
            found[f"when:{path}"] = met if isinstance(met, bool) else met is not None
    return found

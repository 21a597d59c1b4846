"""What a decision needs to know of values.

That is whether a `when` holds, how many items an `each` has, and which instant a `sleep_until` waits for (def_R7,
def_R15, def_R16).
Facts are taken when a value comes in and kept in its event, so that the head never holds values that paths read.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import assert_never, cast

from sagas.events import Json
from sagas.manifest import Manifest


def look_up(value: Json, fields: list[str]) -> Json:
    """The value behind `.field.field`; what is missing is null (def_R27)."""
    for name in fields:
        value = cast("dict[str, Json]", value).get(name) if isinstance(value, dict) else None
    return value


def length_of(value: Json) -> int:
    """How many elements a list has; anything else has none."""
    return len(cast("Sequence[Json]", value)) if isinstance(value, list) else 0


def instant_of(value: Json) -> int:
    """Milliseconds since 1970; an instant that is missing has passed (def_R7), one without a time zone is UTC's."""
    found = _read(value)
    if found is None:
        return 0
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)  # whichever zone this process is in
    return int(aware.timestamp() * 1000)


def _read(value: Json) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def naive_moments(manifest: Manifest, source: str, value: Json) -> Iterator[tuple[str, str]]:
    """The instants in a value of `source` that a `sleep_until` waits for and that have no time zone: path, and who."""
    for node in manifest.nodes:
        head, *fields = (node.moment or "").split(".")
        met = _read(look_up(value, fields)) if head == source else None
        if met is not None and met.tzinfo is None:
            yield ".".join(fields), node.name


def facts_of(manifest: Manifest, source: str, value: Json) -> dict[str, bool | int]:
    """The facts that `source` (`input` or a step) contributes, by `kind:path`."""
    found: dict[str, bool | int] = {}
    for path, kind in manifest.paths:
        head, *fields = path.split(".")
        if head != source:
            continue
        met = look_up(value, fields)
        match kind:
            case "each":
                found[f"each:{path}"] = length_of(met)
            case "when":
                found[f"when:{path}"] = met if isinstance(met, bool) else met is not None
            case "moment":
                found[f"moment:{path}"] = instant_of(met)
            case _:
                assert_never(kind)
    return found

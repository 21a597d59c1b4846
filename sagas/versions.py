"""Versions of what is stored: which histories this program can read, and how an old event becomes one of today.

An event type has a version (`Event.VERSION`), which is stored with each event. Whoever changes the fields of a type, or
what they mean, raises it, adds an upcaster from the version before, and a line to `CAME_WITH`; so does who adds a type,
or a field to the manifest (then `SagaStarted` and `SagaMigrated` change). Golden files in `tests/golden` hold what was
written once. The fields `input`, `value`, `result` and `payload` never move: queries read them as they stand.

A head says with its `format` which program can read all that was folded into it.
"""

from collections.abc import Callable, Mapping
from dataclasses import field

from sagas.events import EVENT_TYPES, Event, Json
from sagas.records import named_record

Upcaster = Callable[[Mapping[str, Json]], Mapping[str, Json]]

FORMAT = 1
"""The newest format of histories that this program reads and writes."""

RELEASES: Mapping[int, str] = {1: "0.1"}
"""The first release that reads a format."""

CAME_WITH: Mapping[tuple[str, int], int] = {}
"""With which format a version of an event type came, where it is not the first."""

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""For a type and an old version what makes the next version's data of its data. Pure."""


@named_record
class Newer(Event):
    """An event that this program cannot read: its type is unknown, or its version. It is kept as it stands."""

    type: str
    version: int
    data: Mapping[str, Json] = field(default_factory=dict[str, Json])


def format_of(event: Event) -> int:
    """The format that a program must know to read this event."""
    return CAME_WITH.get((type(event).__name__, event.VERSION), 1)


def is_newer(kind: str, version: int) -> bool:
    """Whether an event of this type and version was written by a newer program."""
    known = EVENT_TYPES.get(kind)
    return known is None or version > known.VERSION


def upcast(
    kind: str, version: int, data: Mapping[str, Json], upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS
) -> Mapping[str, Json]:
    """The data of an event as today's version of its type has them.

    Raises:
        KeyError: the type is unknown, or an upcaster is missing.
    """
    for old in range(version, EVENT_TYPES[kind].VERSION):
        data = upcasters[kind, old](data)
    return data


def what_it_needs(release: str | None) -> str:
    """Why a saga is not decided here, and what helps; `release` is the first that can, where the head tells it."""
    needed = f"amends >= {release}" if release is not None else f"a newer amends than {RELEASES[FORMAT]}"
    return f"newer_event: needs {needed}, which wrote to it; this program leaves it as it stands"

"""Faults for development and demonstrations: `AMENDS_FAULTS="approval.tasks=fail,approval.assignment:undo=sleep:3"`."""

from collections.abc import Mapping
from typing import Literal

from sagas.manifest import Role
from sagas.records import record

FaultKind = Literal["fail", "maybe", "hang", "sleep"]
KINDS: Mapping[str, FaultKind] = {"fail": "fail", "maybe": "maybe", "hang": "hang", "sleep": "sleep"}
ROLES: Mapping[str, Role] = {"step": "step", "undo": "undo", "probe": "probe", "fallback": "fallback"}


@record
class Fault:
    """What goes wrong: it fails for good, nobody knows, it never answers, or it takes so many seconds longer."""

    kind: FaultKind
    seconds: float = 0.0


Faults = Mapping[tuple[str, str, Role], Fault]
"""Faults by saga, step and role."""


def parse_faults(text: str) -> Faults:
    """The faults that the text names.

    Raises:
        ValueError: an entry is not `saga.step=fail|maybe|hang|sleep:SECONDS`.
    """
    return dict(_entry(part.strip()) for part in text.split(",") if part.strip())


def _entry(text: str) -> tuple[tuple[str, str, Role], Fault]:
    where, _, what = text.partition("=")
    saga, _, step = where.partition(".")
    name, _, role = step.partition(":")
    kind, _, seconds = what.partition(":")
    try:
        return (saga, name, ROLES[role or "step"]), Fault(KINDS[kind], float(seconds or 0))
    except (KeyError, ValueError):
        raise ValueError(
            f"'{text}' is no fault; write saga.step=fail, =maybe, =hang or =sleep:SECONDS; for an undo saga.step:undo=…"
        ) from None

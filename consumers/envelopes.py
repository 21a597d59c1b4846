"""Messages in streams: commands and words as JSON, checked when they come in, since Redis is input (rules C2, C8)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_args

import orjson

from sagas.events import OutcomeKind
from sagas.inputs import Outcome, Started
from sagas.manifest import Role
from sagas.ports import Command

M = TypeVar("M", Command, Outcome, Started)
ROLES = frozenset(get_args(Role))
KINDS = frozenset(get_args(OutcomeKind))
NUMBER_MAX = 2**31 - 1
SAGA_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DEFAULTS: dict[type, dict[str, Any]] = {
    kind: {field.name: field.default for field in fields(kind)} for kind in (Command, Outcome, Started)
}
_CHECKS: dict[str, type | tuple[type, ...]] = {
    "saga_id": str,
    "opened_by": int,
    "attempt": int,
    "step": str,
    "item": (int, type(None)),
    "definition": str,
    "fingerprint": str,
    "queue": str,
    "timeout": (int, float),
    "arguments": dict,
    "payloads": dict,
    "given": dict,
}


@dataclass(frozen=True, slots=True)
class Foreign:
    """A message that is none of ours, or torn; `why` says what is wrong with it."""

    why: str


def dump(message: Command | Outcome | Started) -> bytes:
    """The message as JSON, without what equals its default."""
    defaults = _DEFAULTS[type(message)]
    data: dict[str, Any] = {}
    for name, default in defaults.items():
        value = getattr(message, name)
        if value is not default and value != default:
            data[name] = value
    return orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS)


def load_command(document: bytes) -> Command | Foreign:
    """The command, or what is wrong with it."""
    return _load(Command, document)


def load_word(document: bytes) -> Outcome | Started | Foreign:
    """The outcome or word of a start, or what is wrong with it."""
    found = _load(Outcome, document)
    if isinstance(found, Outcome):
        return found if found.kind in KINDS else Foreign(f"kind {found.kind!r} is unknown")
    started = _load(Started, document)
    return started if isinstance(started, Started) else found


def _load(kind: type[M], document: bytes) -> M | Foreign:
    try:
        data: Any = orjson.loads(document)
    except orjson.JSONDecodeError as torn:
        return Foreign(f"not JSON: {torn}")
    if not isinstance(data, Mapping):
        return Foreign("not an object")
    found: dict[str, Any] = dict(data)  # pyright: ignore[reportUnknownArgumentType] # whatever stands in it
    for name, value in found.items():
        if name in _CHECKS and not isinstance(value, _CHECKS[name]):
            return Foreign(f"field {name} is {type(value).__name__}")
        if name in _CHECKS and isinstance(value, int) and not 0 <= value <= NUMBER_MAX:
            return Foreign(f"field {name} is {value}")
    if not SAGA_ID.fullmatch(str(found.get("saga_id"))):
        return Foreign("saga_id is no id")
    if found.get("role", "step") not in ROLES:
        return Foreign(f"role {found['role']!r} is unknown")
    try:
        return kind(**found)
    except TypeError as unfit:
        return Foreign(str(unfit))

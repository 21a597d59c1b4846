"""Messages in streams: commands and words as JSON, checked when they come in, since Redis is input (rules C2, C8)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast, get_args

import orjson

from sagas.events import OutcomeKind
from sagas.inputs import Outcome, Progressed, RefusalReason, Started, UnknownCause, Word
from sagas.manifest import Priority, Role
from sagas.ports import Command
from sagas.records import record, values_of
from sagas.storable import unstorable

M = TypeVar("M", Command, Outcome, Started, Progressed)
Check = Callable[[Any], bool]
NUMBER_MAX = 2**31 - 1
SECONDS_MAX = 10.0 * 366 * 86_400
TEXT_CHARACTERS_MAX = 10_000
SAGA_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DEFAULTS: dict[type, dict[str, Any]] = {
    kind: {field.name: field.default for field in fields(kind)} for kind in (Command, Outcome, Started, Progressed)
}


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and SAGA_ID.fullmatch(value) is not None


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= NUMBER_MAX


def _is_percent(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 100


def _is_instant(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 2**53


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= SECONDS_MAX


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_CHARACTERS_MAX


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_failure(value: Any) -> bool:
    """Whether an error has what decisions and views read of it."""
    return isinstance(value, dict) and all(
        check(cast("dict[str, Any]", value).get(name)) for name, check in _FAILURE.items()
    )


def _is_nothing(value: Any) -> bool:
    return value is None


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_text(part) for part in cast("dict[str, Any]", value).values())


def _one_of(*allowed: object) -> Check:
    return lambda value: isinstance(value, str) and value in allowed


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


_FAILURE: Mapping[str, Check] = {
    "type": _is_text, "code": _is_text, "message": _is_text, "attempt": _is_number, "retryable": _is_flag,
}  # fmt: skip
_CHECKS: Mapping[str, Check] = {
    "saga_id": _is_id,
    "opened_by": _is_number,
    "attempt": _is_number,
    "epoch": _is_number,
    "number": _is_number,
    "percent": _is_percent,
    "evidence": _is_number,
    "sent_ms": _is_instant,
    "item": _maybe(_is_number),
    "definition": _is_text,
    "fingerprint": _is_text,
    "incarnation": _is_text,
    "queue": _is_text,
    "signature": _is_text,
    "step": _is_text,
    "message": _is_text,
    "payload": _is_nothing,  # where a large result is kept is for the engine to say
    "trace": _maybe(_is_text),
    "worker": _maybe(_is_text),
    "timeout": _is_seconds,
    "ago": _is_seconds,
    "started_ago": _is_seconds,
    "ended_ago": _is_seconds,
    "retry_after": _maybe(_is_seconds),
    "closed": _is_flag,
    "happened": _is_flag,
    "fallback": _is_flag,
    "turning_back": _is_flag,
    "arguments": _is_object,
    "given": _is_object,
    "payloads": _is_texts,
    "error": _maybe(_is_failure),
    "role": _one_of(*get_args(Role)),
    "kind": _one_of(*get_args(OutcomeKind)),
    "priority": _one_of(*get_args(Priority)),
}
_CAUSES = _maybe(_one_of(*get_args(UnknownCause), *get_args(RefusalReason)))
"""Of an outcome; a command's `cause` is free text."""


@record
class Foreign:
    """A message that is none of ours, or torn; `why` says what is wrong with it."""

    why: str


def dump(message: Command | Word, more: Mapping[str, Any] | None = None) -> bytes:
    """The message as JSON, without what equals its default; with `more` in place of what it says."""
    kind = type(message)
    values = values_of(kind)(message)
    data: dict[str, Any] = {
        name: value
        for (name, default), value in zip(_DEFAULTS[kind].items(), values, strict=True)
        if value is not default and value != default
    }
    if more is not None:
        data.update(more)
    return orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS)


def load_command(document: bytes) -> Command | Foreign:
    """The command, or what is wrong with it."""
    return _load(Command, document)


def load_word(document: bytes) -> Word | Foreign:
    """The outcome or word of a start or of progress, or what is wrong with it."""
    found = _load(Outcome, document)
    if isinstance(found, Outcome):
        return found if _CAUSES(found.cause) else Foreign("field cause is none of ours")
    started = _load(Started, document)
    if isinstance(started, Started):
        return started
    progressed = _load(Progressed, document)
    return progressed if isinstance(progressed, Progressed) else found


def _load(kind: type[M], document: bytes) -> M | Foreign:
    try:
        data: Any = orjson.loads(document)
    except orjson.JSONDecodeError as torn:
        return Foreign(f"not JSON: {torn}")
    if not isinstance(data, dict):
        return Foreign("not an object")
    found = cast("dict[str, Any]", data)
    for name, value in found.items():
        check = _CHECKS.get(name)
        if check is not None and not check(value):
            return Foreign(f"field {name} is none of ours: {value!r:.100}")
    if b"\\u0000" in document and (place := unstorable(found)) is not None:
        return Foreign(f"{place} holds a NUL")
    try:
        return kind(**found)
    except TypeError as unfit:
        return Foreign(str(unfit))

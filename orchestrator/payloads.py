"""Large values stand once, under their hash, beside the events (design section 3)."""

import hashlib
from collections.abc import Sequence

import orjson

from sagas.events import Failure, Json
from sagas.inputs import ChildEnds, Correct, Input, Outcome, Resolve, Send, Start
from sagas.records import record, replace

INLINE_BYTES_MAX = 8 * 1024
LIMIT_BYTES = 1024 * 1024


@record
class Limits:
    """Sizes in bytes: what stands inline in an event, and the most that a value may have."""

    inline_bytes: int = INLINE_BYTES_MAX
    limit_bytes: int = LIMIT_BYTES


def shelve(inputs: Sequence[Input], limits: Limits) -> tuple[list[Input], dict[str, bytes]]:
    """The inputs with large values moved out, and those values by their SHA-256. What was moved out before stays so.

    A result over the limit makes its outcome unknown for good: the step has run, and what it did must be undone.
    """
    shelved: list[Input] = []
    payloads: dict[str, bytes] = {}
    for word in inputs:
        document = _large(_value(word), limits.inline_bytes)
        if document is None:
            shelved.append(word)
        elif isinstance(word, Outcome) and len(document) > limits.limit_bytes:
            error = too_large(word, len(document), limits.limit_bytes)
            shelved.append(replace(word, kind="unknown", cause="error", result=None, error=error))
        elif isinstance(word, Start | Outcome | ChildEnds | Send | Correct | Resolve):
            digest = hashlib.sha256(document).hexdigest()
            payloads[digest] = document
            shelved.append(replace(word, payload=digest))
    return shelved, payloads


def size_of(word: Input) -> int:
    """How many bytes the value of an input has; 0 where it has none, or one that is no JSON."""
    document = _large(_value(word), 0)
    return 0 if document is None else len(document)


def too_large(word: Outcome, size: int, limit: int) -> Failure:
    """The error of a result that cannot be kept."""
    message = f"the result of '{word.step}' has {size:,} bytes; {limit:,} are allowed: keep it elsewhere, return its id"
    return {"type": "PayloadTooLarge", "code": "payload_too_large", "message": message, "attempt": word.attempt,
            "retryable": False, "happened": None}  # fmt: skip


def _value(word: Input) -> Json:
    match word:
        case Start(payload=None):
            return word.input
        case Outcome(payload=None) | ChildEnds(payload=None):
            return word.result
        case Send(payload=None) | Correct(payload=None) | Resolve(payload=None):
            return word.value
        case _:
            return None


def _large(value: Json, inline_bytes: int) -> bytes | None:
    if value is None or isinstance(value, bool | int | float):
        return None
    try:
        document = orjson.dumps(value)
    except TypeError:
        return None  # no JSON: the append refuses it (rule A9)
    return document if len(document) > inline_bytes else None

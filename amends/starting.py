"""Many sagas that are started together: what is asked of each, and what is said of those that were not started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID, uuid5

from amends.identifiers import new_id
from sagas.definition import Saga
from sagas.errors import InputError
from sagas.events import Json
from sagas.inputs import Start
from sagas.seal import Sealed, unsupported_in
from sagas.storable import unstorable

I = TypeVar("I", covariant=True)  # noqa: E741 - the input

IDS = UUID("6d0f6c2e-6f7e-5b6d-9d0a-5f1b9a3c7e21")
"""The namespace of the ids that a request id gives."""
STARTS_MAX = 500
KEY_CHARACTERS_MAX = 255
KEY_LENGTH = f"is no text of 1 to {KEY_CHARACTERS_MAX} characters"


@dataclass(frozen=True)
class ToStart(Generic[I]):
    """One of many: what `start` takes. The same key and input give the same saga."""

    saga: Saga[I, Any] | str
    input: I
    key: str | None = None

    @property
    def definition(self) -> str:
        """The name of its saga."""
        return self.saga if isinstance(self.saga, str) else self.saga.name


@dataclass(frozen=True)
class StartRefused:
    """One of many, the `index`-th from 0, that was not started.

    `reason` is `invalid` (its definition, key or input does not fit), or `conflict`: its key is taken by the saga
    `saga_id`, which has another input. `errors` holds (field, message), such as `("input.cents", "…")`.
    """

    index: int
    reason: Literal["invalid", "conflict"]
    errors: Sequence[tuple[str, str]]
    saga_id: str | None = None

    def __str__(self) -> str:
        return f"item {self.index}: " + "; ".join(f"{field}: {message}" for field, message in self.errors)


def document_of(index: int, item: ToStart[Any], sealed: Sealed) -> Json | StartRefused:
    """The input of an item as it is stored, if that and its key fit."""
    if item.key is not None and not 0 < len(item.key) <= KEY_CHARACTERS_MAX:
        return StartRefused(index, "invalid", [("key", KEY_LENGTH)])
    if item.key is not None and unstorable(item.key) is not None:
        return StartRefused(index, "invalid", [("key", "holds a NUL or half a surrogate pair")])
    try:
        return sealed.normalise(item.input)
    except InputError as error:
        errors = [(f"input.{field}" if field else "input", message) for field, message in error.errors]
        return StartRefused(index, "invalid", errors)


def word_of(
    sagas: Mapping[str, Sealed], index: int, item: ToStart[Any], request_id: str | None, actor: str | None,
    trace: str | None,
) -> Start | StartRefused:  # fmt: skip
    """The input of the engine that starts an item, asked by `actor` in the trace `trace`."""
    sealed = sagas.get(item.definition)
    if sealed is None:
        known = ", ".join(sorted(sagas)) or "none"
        message = f"no saga is called '{item.definition}'; there are: {known}"
        return StartRefused(index, "invalid", [("definition", message)])
    if missing := unsupported_in(sealed.saga):
        return StartRefused(index, "invalid", [("definition", f"uses what cannot run yet: {', '.join(missing)}")])
    document = document_of(index, item, sealed)
    if isinstance(document, StartRefused):
        return document
    return Start(id_of(request_id, index, item), sealed.manifest, document, key=item.key, actor=actor, trace=trace)


def id_of(request_id: str | None, index: int, item: ToStart[Any]) -> str:
    """The id of an item's saga: of a request that has an id it is the same each time."""
    return new_id() if request_id is None else str(uuid5(IDS, f"{request_id}/{index}/{item.definition}"))

"""Many sagas that a client starts: checked here, and sent in requests that the API takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from amends.application import BODY_BYTES_MAX
from amends.starting import STARTS_MAX, StartRefused, ToStart, document_of
from sagas.definition import Saga

FRAME = (b'{"sagas":[', b"]}")
BYTES_MAX = BODY_BYTES_MAX - len(FRAME[0] + FRAME[1])


@dataclass(frozen=True)
class Sent:
    """An item that can be sent: its place in the list, its saga, and its JSON."""

    index: int
    saga: Saga[Any, Any]
    document: bytes


def prepared(items: Sequence[ToStart[Any]]) -> tuple[dict[int, Any], list[list[Sent]]]:
    """What cannot be sent, by its place, with the reason; and the rest, in as many pages as it takes.

    Raises:
        TypeError: an item has only the name of its saga.
    """
    found: dict[int, Any] = {}
    pages: list[list[Sent]] = []
    left = 0
    for index, item in enumerate(items):
        one = _checked(index, item)
        if isinstance(one, StartRefused):
            found[index] = one
            continue
        size = len(one.document) + 1
        if not pages or left < size or len(pages[-1]) == STARTS_MAX:
            pages.append([])
            left = BYTES_MAX
        pages[-1].append(one)
        left -= size
    return found, pages


def body_of(page: Sequence[Sent]) -> bytes:
    """The body of a request for these."""
    return FRAME[0] + b",".join(one.document for one in page) + FRAME[1]


def refused(index: int, told: Mapping[str, Any]) -> StartRefused:
    """What the API says of an item that it did not start; the place in its request is not that in the list."""
    errors = [(str(one["field"]).split(".", 2)[-1], str(one["message"])) for one in told["errors"]]
    return StartRefused(index, told["outcome"], errors, told.get("sagaId"))


def _checked(index: int, item: ToStart[Any]) -> Sent | StartRefused:
    if isinstance(item.saga, str):
        raise TypeError(f"item {index} has only the name of its saga: give the Saga itself")
    given = document_of(index, item, item.saga.seal())
    if isinstance(given, StartRefused):
        return given
    body: dict[str, Any] = {"definition": item.definition, "input": given}
    if item.key is not None:
        body["key"] = item.key
    document = orjson.dumps(body)
    if len(document) >= BYTES_MAX:
        return StartRefused(index, "invalid", [("input", f"has {len(document):,} bytes; {BYTES_MAX:,} are taken")])
    return Sent(index, item.saga, document)

"""Values of a version that nobody has the types of any more: checked by the schema that its manifest keeps."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field

from sagas.returns import schema_of
from sagas.schemas import complaints


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sku: str = Field(pattern="^[A-Z]+$", min_length=2, max_length=4)
    count: int = Field(1, ge=1, lt=10)


class Order(BaseModel):
    id: UUID
    at: datetime
    price: Decimal = Decimal(0)
    lines: list[Line] = Field([], max_length=2)
    colour: Colour | None = None
    kind: Literal["a", "b"] = "a"
    where: tuple[int, str] | None = None
    labels: dict[str, int] = {}
    tags: set[str] = set()


GOOD: dict[str, Any] = {"id": "0193f0aa-0000-7000-8000-000000000001", "at": "2026-01-01T00:00:00Z"}
SCHEMA = schema_of(Order, "an order")


@pytest.mark.parametrize(
    "more",
    [{}, {"price": "1.50", "lines": [{"sku": "AB"}], "colour": "red", "where": [1, "x"], "labels": {"a": 1}},
     {"price": 2, "colour": None, "tags": ["a", "b"], "unknown": 1}],
)  # fmt: skip
def test_what_fits_is_taken(more: dict[str, Any]) -> None:
    assert complaints(SCHEMA, GOOD | more) == []


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"id": "x"}, "id"),
        ({"at": "soon"}, "at"),
        ({"price": []}, "price"),
        ({"lines": [{"sku": "AB"}, {"count": 1}]}, "lines.1.sku"),
        ({"lines": [{"sku": "ab"}]}, "lines.0.sku"),
        ({"lines": [{"sku": "ABCDE"}]}, "lines.0.sku"),
        ({"lines": [{"sku": "AB", "count": 10}]}, "lines.0.count"),
        ({"lines": [{"sku": "AB", "count": True}]}, "lines.0.count"),
        ({"lines": [{"sku": "AB", "price": 1}]}, "lines.0.price"),
        ({"lines": [{"sku": "AB"}] * 3}, "lines"),
        ({"colour": "blue"}, "colour"),
        ({"kind": "c"}, "kind"),
        ({"where": [1]}, "where"),
        ({"labels": {"a": "b"}}, "labels.a"),
        ({"tags": ["a", "a"]}, "tags"),
    ],
)
def test_what_does_not_fit_is_named_by_its_field(more: dict[str, Any], field: str) -> None:
    assert [where for where, _ in complaints(SCHEMA, GOOD | more)] == [field]


def test_a_value_of_another_kind_is_named_as_a_whole() -> None:
    assert complaints(SCHEMA, "an order") == [("", "is no object")]
    assert complaints({}, {"anything": 1}) == []
    assert complaints({"type": "null"}, None) == []

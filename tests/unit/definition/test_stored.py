"""How values are stored: by field name, as JSON, and back as they were (def_R22)."""

import math
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

from amends import InputError, Saga
from amends.testing import run
from sagas.storable import complaint
from tests.unit.definition.test_edges import T, saga_of


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    amount: int = Field(0, alias="amountCents")
    parts: list["Aliased"] = []


def test_def_r22_aliases_are_for_the_edge_alone() -> None:
    s = Saga("t", input=Aliased, result=Aliased)
    seen: list[int] = []

    @s.step("h", each="input.parts")
    async def h(item: Aliased, request: Aliased) -> Aliased:
        seen.extend((item.amount, request.amount))
        return item

    @s.step("out")
    async def out(h: list[Aliased]) -> Aliased:
        return h[0]

    given: Any = {"amountCents": 500, "parts": [{"amountCents": 7}]}
    done = run(s, given)
    assert seen == [7, 500]
    assert done.result is not None
    assert done.result.amount == 7
    stored = [getattr(event, "input", None) or getattr(event, "result", None) for event in done.events]
    assert [value for value in stored if value] == [
        {"amount": 500, "parts": [{"amount": 7, "parts": []}]},
        {"amount": 7, "parts": []},
        {"amount": 7, "parts": []},
    ]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    at: datetime
    price: Decimal
    id: UUID
    counts: dict[int, int] = {1: 2}

    @computed_field
    def double(self) -> Decimal:
        return self.price * 2


def test_a_strict_model_with_a_computed_field_comes_back_from_json() -> None:
    s = Saga("t", input=Strict, result=Strict)

    @s.step("h")
    async def h(request: Strict) -> Strict:
        return request

    @s.step("after")
    async def after(h: Strict) -> None: ...

    value = Strict(at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"), price=Decimal("1.5"), id=UUID(int=1))
    done = run(s, value)
    assert (done.status, done.result) == ("completed", value)
    assert s.seal().normalise({"at": "2026-01-01T00:00:00Z", "price": "1.5", "id": str(UUID(int=1))})


@pytest.mark.parametrize(
    ("value", "says"),
    [(math.nan, "is no number"), (math.inf, "is no number"), (2**64, "more than 64 bits"), ("\x00", "holds a NUL")],
)
def test_what_json_cannot_keep_is_refused_in_words_that_fit(value: Any, says: str) -> None:
    wrong = complaint({"a": [1, None, value]})
    assert wrong is not None
    assert wrong[0] == "a[2]"
    assert says in wrong[1]
    assert complaint(object()) is not None
    assert complaint({"a": [None, 2**64 - 1, -(2**63), 1.5]}) is None


def test_a_result_that_is_no_number_is_a_wrong_result() -> None:
    s = saga_of()

    @s.step("h")
    async def h(request: T) -> float:
        return math.nan

    done = run(s, T())
    assert done.status == "compensated"
    assert "is no number (nan or infinite)" in str(done)


def test_an_input_that_is_no_number_is_refused() -> None:
    class In(BaseModel):
        x: float

    s = Saga("t", input=In)

    @s.step("h")
    async def h(request: In) -> None: ...

    refuse: Callable[[], object] = lambda: s.seal().normalise(In(x=math.inf))  # noqa: E731
    with pytest.raises(InputError, match="field 'x': is no number"):
        refuse()

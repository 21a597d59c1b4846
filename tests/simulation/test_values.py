"""Values that are compared: of any form that users may give them, and whatever becomes of them on the way."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from amends import Context, Given, Retry, Saga, Transaction
from amends.testing import simulate


class Order(BaseModel):
    lines: list[int]
    weight: float = 1.5
    due: datetime = Field(default=datetime(2026, 1, 1, tzinfo=UTC), examples=["2026-01-01T00:00:05Z"])


@dataclass
class Label:
    number: int
    text: str = "x"


part = Saga("part", input=Order, result=list[Label])


@part.step("labels", each="input.lines")
async def label(item: int, context: Context) -> Label:
    return Label(item)


whole = Saga("whole", input=Order)


@whole.step("weighed", each="input.lines", retry=Retry(delays=[0.5]))
async def weigh(item: int, order: Order, context: Context) -> float:
    return item * order.weight


@weigh.undo
async def unload(result: float | None, item: int) -> None: ...


@weigh.fallback
async def guess(item: int) -> float:
    return 1.0


@whole.step("stamped", each="weighed")
async def stamp(item: float, context: Context) -> Label:
    return Label(int(item))


@whole.step("sorted", after=[stamp])
async def sort(weighed: list[Given[float]], stamped: list[Label]) -> Iterable[int]:
    return (one.number for one in stamped)


parts = whole.start("parts", part, input="input", after=[sort])


@whole.step("kept", pivot=True)
async def keep(sorted: Iterable[int], parts: list[Label], context: Context) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


@keep.fallback
async def keep_here(transaction: Transaction) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


@whole.step("told")
async def tell(kept: Given[datetime], weighed: list[float]) -> None: ...


beside = Saga("beside", input=Order)


@beside.step("listed")
async def list_them(order: Order, context: Context) -> list[int]:
    return order.lines


@beside.step("one_by_one", each="listed")
async def take_one(item: int, context: Context) -> int:
    return item


@beside.step("next_to_them")
async def stand_by(order: Order, context: Context) -> int:
    return 1


@stand_by.undo
async def leave(one_by_one: list[int] | None) -> None: ...


@beside.step("last", after=[stand_by])
async def end(order: Order, context: Context) -> int:
    return 1


def test_an_undo_is_given_nothing_of_a_list_that_stands_beside_it_and_has_not_ended() -> None:
    """def_R2: what is not known yet is not an empty list."""
    simulate(beside, seeds=20)


def test_values_of_all_forms_are_given_as_they_were_recorded() -> None:
    """rule_A10: items of items, lists that children give, what can be read once, keys that keep a fallback's result."""
    simulate(whole, seeds=12)

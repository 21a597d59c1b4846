"""The result of a whole saga in the kit and in views, also where a step with `each` gives it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field

from amends import Client, Permanent, Saga, views
from amends.client import Handle
from amends.testing import run
from eventstore.memory import MemoryStore
from tests.unit.definition.test_edges import T
from tests.unit.test_decisions import Play, node


class Lines(BaseModel):
    orders: list[int] = [1, 2, 3]
    wanted: bool = True


def each_of(saga: Saga[Lines, Any]) -> None:
    @saga.step("doubled", each="input.orders", item_failure="leave_out")
    async def double(item: int) -> int:
        if item == 2:
            raise Permanent("not this one")
        return 2 * item


def test_def_r14_the_items_of_an_each_step_are_the_result() -> None:
    """def_R14."""
    s: Saga[Lines, list[int | None]] = Saga("t", input=Lines, result=list[int | None])
    each_of(s)
    assert run(s, Lines()).result == [2, None, 6]
    assert run(s, Lines(orders=[])).result == []


def test_def_r14_an_each_step_that_is_skipped_gives_nothing() -> None:
    made: Any = Saga
    s = made("t", input=Lines, result=list[int] | None)

    @s.step("doubled", each="input.orders", when="input.wanted")  # type: ignore[untyped-decorator]
    async def double(item: int) -> int:
        return 2 * item

    assert run(s, Lines()).result == [2, 4, 6]
    assert run(s, Lines(wanted=False)).result is None


def skipped() -> tuple[Play, dict[str, Any], dict[str, Any]]:
    """A saga whose `each` step is skipped: how it went, its view and its job."""
    paths = (("input.items", "each"), ("input.flag", "when"))
    play = Play(
        node("a", "no_undo", each="input.items", when="input.flag"), value={"items": [1, 2], "flag": False}, paths=paths
    )
    store = MemoryStore(lambda: 1000.0)
    view = asyncio.run(cast("Coroutine[Any, Any, Any]", views.detail(store, play.manifest, play.state, 0.0)))
    return play, view, views.job(view)


def test_an_each_step_that_is_skipped_is_one_entry_in_views() -> None:
    play, view, job = skipped()
    assert play.state.status == "completed"
    assert [(step["step"], step["item"], step["status"]) for step in view["steps"]] == [("a", None, "skipped")]
    assert job["progress"] == 100


class Priced(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    cents: int = Field(alias="amountCents")
    raw: bytes = b""


class Answering(Client):
    async def call(self, method: str, path: str, body: object = None, *, repeatable: bool = True) -> dict[str, Any]:
        return {"status": "completed", "result": {"cents": 5, "raw": "x"}}


def test_the_client_reads_a_result_as_it_is_stored() -> None:
    s = Saga("t", input=T, result=Priced)

    @s.step("a")
    async def a(request: T) -> Priced:
        return Priced(amountCents=5)

    found = asyncio.run(Handle(Answering(), s, "id").result())
    assert (found.cents, found.raw) == (5, b"x")

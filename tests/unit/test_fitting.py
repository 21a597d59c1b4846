"""Values that are sent to sagas of an older version: by today's types, or by their own manifest."""

import time
from typing import Any

import pytest
from pydantic import BaseModel

from amends import InputError, Saga, UnknownDefinition, hours
from amends.backend import Backend
from amends.clock import LoopClock
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from sagas.inputs import Start
from sagas.seal import Sealed
from tests.unit.test_decisions import SAGA


class Order(BaseModel):
    city: str


class Yes(BaseModel):
    by: str


class Sure(BaseModel):
    by: str
    on: str = "paper"


def version(kind: str | None, model: type[BaseModel] = Yes) -> Sealed:
    """The saga `order`, whose `agreed` is a wait, a step, or gone."""
    saga = Saga("order", input=Order)

    @saga.step("stock")
    async def reserve(order: Order) -> int:
        return 1

    if kind == "wait":
        saga.wait("agreed", model=model, timeout=hours(1), on_timeout="compensate", after=[reserve])
    elif kind == "step":

        @saga.step("agreed")
        async def agree(order: Order) -> int:
            return 1

    return saga.seal()


async def backend(*today: Sealed) -> Backend:
    """A backend that knows the types of today, and a saga of the version with the wait."""
    store = MemoryStore(time.time)
    engine = Engine(store, LoopClock())
    old = version("wait")
    await store.put_manifest(old.manifest)
    await engine.apply([Start(SAGA, old.manifest, {"city": "Lima"})])
    unused: Any = None
    return Backend(store, unused, engine, unused, {one.manifest.name: one for one in today})


@pytest.mark.parametrize("today", [[version(None)], [version("step")], []])
async def test_what_todays_types_do_not_know_is_checked_by_the_sagas_own_version(today: list[Sealed]) -> None:
    made = await backend(*today)
    assert await made.fit(SAGA, "agreed", {"by": "Bo"}) == {"by": "Bo"}
    with pytest.raises(InputError, match="what 'agreed' gives, in a saga of 'order', field 'by': is missing"):
        await made.fit(SAGA, "agreed", {"von": "Bo"})
    with pytest.raises(InputError, match="NUL"):
        await made.fit(SAGA, "agreed", {"by": "B\x00"})
    with pytest.raises(InputError, match="'nothing' is none of stock, agreed"):
        await made.fit(SAGA, "nothing", 1)


async def test_what_todays_types_know_is_made_whole_by_them() -> None:
    made = await backend(version("wait", Sure))
    assert await made.fit(SAGA, "agreed", {"by": "Bo"}) == {"by": "Bo", "on": "paper"}
    assert await made.fit(SAGA, None, {"city": "Lima"}) == {"city": "Lima"}


async def test_the_input_of_a_definition_that_is_gone_is_checked_by_its_schema() -> None:
    made = await backend()
    assert await made.fit(SAGA, None, {"city": "Lima"}) == {"city": "Lima"}
    with pytest.raises(InputError, match="input of 'order', field 'city': is no string"):
        await made.fit(SAGA, None, {"city": 7})
    with pytest.raises(UnknownDefinition):
        await made.start("order", {"city": "Lima"})

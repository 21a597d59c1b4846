"""A child is started by its newest version: one that its parent could not turn back is refused (rules B5, B2)."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Saga, hours
from amends.clock import LoopClock
from amends.serving import look_ahead
from amends.testing.virtual import run_virtual
from consumers.inprocess import Broker, InProcessTransport
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from sagas.decide import decide
from sagas.events import ChildEnded
from sagas.inputs import Cancel, Due, Start
from sagas.manifest import Manifest
from sagas.ports import StoreUnavailable
from sagas.serving import gaps_of
from sagas.state import State
from tests.unit.test_decisions import SAGA

LEASE_SECONDS = 4.0


class Load(BaseModel):
    parcels: int


def delivery(*, pivot: bool) -> Saga[Load, None]:
    saga = Saga("delivery", input=Load)

    @saga.step("paid", pivot=pivot)
    async def pay(load: Load) -> int:
        return 1

    return saga


def order(child: Saga[Load, None]) -> Saga[Load, None]:
    saga = Saga("order", input=Load)
    saga.start("carried", child, input="input", after=[saga.sleep("night", hours(1))])
    return saga


class Shop:
    """An order that was begun, and the orchestrator that goes on with it; its store can lose what was delivered."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock, sender = LoopClock(), InProcessTransport(Broker(), "orchestrator")
        self.store = Forgetful(lambda: 1_767_225_600.0 + loop.time())
        publisher = Publisher(self.store, sender, self.clock, LEASE_SECONDS)
        self.engine = Engine(self.store, self.clock, publisher)
        self.orchestrator = Orchestrator(self.store, sender, self.clock, self.engine, publisher)

    async def deploy(self, *manifests: Manifest) -> None:
        for manifest in manifests:
            await self.store.put_manifest(manifest)

    async def head(self, saga_id: str = SAGA) -> State:
        return (await self.store.heads([saga_id]))[saga_id]

    async def events(self) -> list[Any]:
        return [entry.event for entry in await self.store.history(SAGA, limit=99)]


class Forgetful(MemoryStore):
    """While it `forgets`, nothing that was delivered goes."""

    forgets = False

    async def delivered(self, waits: Sequence[tuple[str, int]]) -> None:
        if self.forgets:
            raise StoreUnavailable("it is away")
        await super().delivered(waits)


@asynccontextmanager
async def opened(*manifests: Manifest) -> AsyncGenerator[Shop]:
    """An order of the first of these versions."""
    shop = Shop()
    running = asyncio.create_task(shop.orchestrator.run())
    await shop.deploy(*manifests)
    await shop.engine.apply([Start(SAGA, manifests[0], {"parcels": 1})])
    yield shop
    shop.orchestrator.stop()
    await running


async def started(*manifests: Manifest) -> tuple[State, list[Any]]:
    """An order of the first version; the others are deployed before it starts its child."""
    async with opened(*manifests[:2]) as shop:
        await shop.clock.sleep(60)
        await shop.deploy(*manifests[2:])
        await shop.clock.sleep(2 * 3600)
    return await shop.head(), await shop.events()


def test_a_child_that_has_a_pivot_now_is_refused_where_its_parent_may_turn_it_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reversible, one_way = delivery(pivot=False), delivery(pivot=True)
    old = order(reversible).seal()

    async def drive() -> None:
        head, events = await started(old.manifest, reversible.seal().manifest, one_way.seal().manifest)
        (ended,) = [event for event in events if isinstance(event, ChildEnded)]
        assert (ended.status, head.status) == ("refused", "compensated")

    run_virtual(drive)
    assert "the saga 'delivery' has a pivot now" in caplog.text


def test_a_child_that_runs_already_goes_on_when_its_start_is_told_again() -> None:
    """rule_B5: its start was committed, and not taken away before the deploy."""
    reversible, one_way = delivery(pivot=False).seal().manifest, delivery(pivot=True).seal().manifest

    async def drive() -> None:
        async with opened(order(delivery(pivot=False)).seal().manifest, reversible) as shop:
            shop.store.forgets = True
            await shop.clock.sleep(3610)
            (step,) = [step for step in (await shop.head()).steps.values() if step.child]
            assert (await shop.head(step.child or "")).status == "active"
            await shop.deploy(one_way)
            shop.store.forgets = False
            await shop.clock.sleep(60)
        head = await shop.head()
        assert (head.status, [wait.kind for wait in head.waits.values()]) == ("active", ["child"])
        assert not [event for event in await shop.events() if isinstance(event, ChildEnded)]

    run_virtual(drive)


def test_a_parent_that_turned_back_before_its_child_was_refused_diverges_from_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def drive() -> None:
        async with opened(order(delivery(pivot=False)).seal().manifest) as shop:  # nobody has declared the child yet
            await shop.clock.sleep(3610)
            await shop.engine.apply([Cancel(SAGA, "too late", "r1")])
            assert [step.status for step in (await shop.head()).steps.values() if step.child] == ["undoing"]
            await shop.deploy(delivery(pivot=True).seal().manifest)
            await shop.clock.sleep(60)
        assert (await shop.head()).status == "compensated"

    run_virtual(drive)
    assert "divergence" not in caplog.text


def test_a_check_against_open_sagas_tells_it_before() -> None:
    old, one_way = order(delivery(pivot=False)).seal().manifest, delivery(pivot=True)
    new = {sealed.manifest.name: sealed for sealed in (order(one_way).seal(), one_way.seal())}
    state = decide(old, State(SAGA), Start(SAGA, old, {"parcels": 1}), 0.0).state
    told = [gap.what for gap in gaps_of(old, state, new)]
    assert told == ["'delivery', which 'carried' starts, has a pivot now: nobody could turn it back"]
    (pause,) = [wait.opened_by for wait in state.waits.values() if wait.kind == "timer"]
    begun = decide(old, state, Due(SAGA, pause), 7200.0).state
    assert list(gaps_of(old, begun, new)) == []
    (child,) = [step.child for step in begun.steps.values() if step.child]
    assert [gap.what for gap in gaps_of(old, begun, new, unborn={child})] == told


def test_a_check_names_the_child_whose_start_is_on_its_way() -> None:
    old, one_way = order(delivery(pivot=False)).seal().manifest, delivery(pivot=True)
    new = {sealed.manifest.name: sealed for sealed in (order(one_way).seal(), one_way.seal())}

    async def drive() -> None:
        async with opened(old) as shop:  # nobody has declared the child: its start waits
            await shop.clock.sleep(3610)
            assert [unserved.gap.what for unserved in (await look_ahead(shop.store, new)).unserved] == [
                "'delivery', which 'carried' starts, has a pivot now: nobody could turn it back"
            ]
            await shop.deploy(delivery(pivot=False).seal().manifest)
            await shop.clock.sleep(60)
            assert (await look_ahead(shop.store, new)).unserved == []

    run_virtual(drive)


def test_a_parent_that_knows_of_the_pivot_starts_its_child() -> None:
    one_way = delivery(pivot=True)
    parent = order(one_way).seal()

    async def drive() -> None:
        head, _ = await started(parent.manifest, one_way.seal().manifest)
        assert [wait.kind for wait in head.waits.values()] == ["child"]

    run_virtual(drive)

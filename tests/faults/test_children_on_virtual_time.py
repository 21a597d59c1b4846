"""A child is started by its newest version: one that its parent could not turn back is refused (rules B5, B2)."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Saga, hours
from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.inprocess import Broker, InProcessTransport
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from sagas.decide import decide
from sagas.events import ChildEnded
from sagas.inputs import Due, Start
from sagas.manifest import Manifest
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


async def started(*manifests: Manifest) -> tuple[State, list[Any]]:
    """An order of the first version; the others are deployed before it starts its child."""
    loop, clock, broker = asyncio.get_running_loop(), LoopClock(), Broker()
    store = MemoryStore(lambda: 1_767_225_600.0 + loop.time())
    sender = InProcessTransport(broker, "orchestrator")
    publisher = Publisher(store, sender, clock, LEASE_SECONDS)
    engine = Engine(store, clock, publisher)
    orchestrator = Orchestrator(store, sender, clock, engine, publisher)
    running = asyncio.create_task(orchestrator.run())
    for manifest in manifests[:2]:
        await store.put_manifest(manifest)
    await engine.apply([Start(SAGA, manifests[0], {"parcels": 1})])
    await clock.sleep(60)
    for manifest in manifests[2:]:
        await store.put_manifest(manifest)
    await clock.sleep(2 * 3600)
    orchestrator.stop()
    await running
    head = (await store.heads([SAGA]))[SAGA]
    return head, [entry.event for entry in await store.history(SAGA, limit=99)]


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


def test_a_check_against_open_sagas_tells_it_before() -> None:
    old, one_way = order(delivery(pivot=False)).seal().manifest, delivery(pivot=True)
    new = {sealed.manifest.name: sealed for sealed in (order(one_way).seal(), one_way.seal())}
    state = decide(old, State(SAGA), Start(SAGA, old, {"parcels": 1}), 0.0).state
    told = [gap.what for gap in gaps_of(old, state, new)]
    assert told == ["'delivery', which 'carried' starts, has a pivot now: nobody could turn it back"]
    (pause,) = [wait.opened_by for wait in state.waits.values() if wait.kind == "timer"]
    begun = decide(old, state, Due(SAGA, pause), 7200.0).state
    assert list(gaps_of(old, begun, new)) == []


def test_a_parent_that_knows_of_the_pivot_starts_its_child() -> None:
    one_way = delivery(pivot=True)
    parent = order(one_way).seal()

    async def drive() -> None:
        head, _ = await started(parent.manifest, one_way.seal().manifest)
        assert [wait.kind for wait in head.waits.values()] == ["child"]

    run_virtual(drive)

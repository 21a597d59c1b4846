"""Moving many sagas: what would move is said first, each moves as it was seen, and a page costs a few queries."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Saga, unfinished
from amends.clock import LoopClock
from amends.moving import Ask, Verdict, move_open
from amends.serving import look_ahead
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from sagas.events import Json, SagaMigrated
from sagas.inputs import Cancel, ChildEnds, Input, Outcome, Start
from sagas.seal import Sealed
from sagas.state import Parent, State, Value

ASK = Ask("a better way", "migrate/1", "ada")


class Order(BaseModel):
    city: str
    gift: bool = False


class Parcel(BaseModel):
    weight: int


class Weighed(BaseModel):
    weight: int
    unit: str


def version(*, ribbon: bool = False, unit: bool = False) -> Sealed:
    """The saga `send`; with a ribbon for gifts, or with parcels that have a unit."""
    saga = Saga("send", input=Order)
    gives: Any = Weighed if unit else Parcel

    async def pack(order: Order) -> Parcel:
        return Parcel(weight=1)

    pack.__annotations__["return"] = gives
    packed = saga.step("parcel")(pack)
    after: list[Any] = [packed]
    if ribbon:

        @saga.step("ribbon", when="input.gift", after=[packed])
        async def tie(order: Order) -> None: ...

        after.append(tie)

    async def carry(parcel: Parcel) -> None: ...

    carry.__annotations__["parcel"] = gives
    saga.step("van", after=after)(carry)

    @saga.step("bill", after=after)
    async def bill(order: Order) -> None: ...

    return saga.seal()


class CountedStore(MemoryStore):
    """Counts questions."""

    def __init__(self) -> None:
        super().__init__(time.time)
        self.asked: list[str] = []

    async def heads(self, saga_ids: Sequence[str]) -> dict[str, State]:
        """Heads, counted."""
        self.asked.append("heads")
        return await super().heads(saga_ids)

    async def values(self, wanted: Sequence[tuple[str, Value]]) -> list[Json]:
        """Values, counted."""
        self.asked.append("values")
        return await super().values(wanted)


class Stage:
    """Ten open sagas of the first version: every second is a gift, the first three have run their first step."""

    def __init__(self) -> None:
        self.store = CountedStore()
        self.engine = Engine(self.store, LoopClock())
        self.ids = [f"01900000-0000-7000-8000-{number:012d}" for number in range(10)]
        self.old = version()

    async def begin(self) -> None:
        await self.store.put_manifest(self.old.manifest)
        inputs: list[Input] = [
            Start(saga_id, self.old.manifest, {"city": "Lima", "gift": bool(number % 2)})
            for number, saga_id in enumerate(self.ids)
        ]
        await self.engine.apply(inputs)
        for saga_id in self.ids[:3]:
            await self.engine.apply([Outcome(saga_id, 2, 1, "parcel", None, "step", "succeeded", {"weight": 3})])
        self.store.asked.clear()

    async def move(self, new: Sealed, ask: Ask = ASK, *, act: bool) -> dict[str, Verdict]:
        await self.store.put_manifest(new.manifest)
        found = [verdict async for page in move_open(self.store, self.engine, new, ask, act=act) for verdict in page]
        return {verdict.saga_id: verdict for verdict in found}


@pytest.fixture
async def stage() -> Stage:
    made = Stage()
    await made.begin()
    return made


async def test_looking_says_what_would_move_and_why_the_others_stay_and_moves_nothing(stage: Stage) -> None:
    found = await stage.move(version(ribbon=True), act=False)
    assert [found[saga_id].moves for saga_id in stage.ids] == [False] * 3 + [True] * 7
    assert "'ribbon' has to end before 'van', which has begun" in str(found[stage.ids[0]].why)
    heads = await stage.store.heads(stage.ids)
    assert {head.fingerprint for head in heads.values()} == {stage.old.manifest.fingerprint}


async def test_who_fits_moves_by_an_event_with_who_and_why_and_knows_what_new_conditions_read(stage: Stage) -> None:
    new = version(ribbon=True)
    assert sum(verdict.moves for verdict in (await stage.move(new, act=True)).values()) == 7
    for saga_id, gift in ((stage.ids[3], True), (stage.ids[4], False)):
        entry = (await stage.store.history(saga_id))[-1]
        assert entry.event == SagaMigrated(
            fingerprint=new.manifest.fingerprint, reason="a better way", facts={"when:input.gift": gift}
        )
        assert (entry.actor, entry.causation) == ("ada", "migrate/1")
        await stage.engine.apply([Outcome(saga_id, 2, 1, "parcel", None, "step", "succeeded", {"weight": 3})])
        head = (await stage.store.heads([saga_id]))[saga_id]
        assert head.step("ribbon").status == ("scheduled" if gift else "skipped")
    again = await stage.move(new, act=True)
    assert sorted(again) == stage.ids[:3], "who goes by it already is not asked"


async def test_what_a_step_gave_must_be_of_the_new_type(stage: Stage) -> None:
    found = await stage.move(version(unit=True), act=True)
    assert [found[saga_id].moves for saga_id in stage.ids] == [False] * 3 + [True] * 7
    assert str(found[stage.ids[0]].why) == "what 'parcel' gave is none of the new type: unit: Field required"


async def test_only_sagas_of_one_version_are_asked_and_none_that_has_ended(stage: Stage) -> None:
    await stage.engine.apply([Cancel(stage.ids[9], "stop", "c1")])
    await stage.engine.apply([Outcome(stage.ids[9], 2, 1, "parcel", None, "step", "refused", cause="drained")])
    new = version(ribbon=True)
    assert len(await stage.move(new, act=False)) == 9
    mine = Ask("x", "m", origin=stage.old.manifest.fingerprint[:8])
    assert len(await stage.move(new, mine, act=False)) == 9
    assert await stage.move(new, Ask("x", "m", origin="0" * 64), act=False) == {}


async def test_a_page_costs_a_few_queries_whatever_its_size(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.move(version(ribbon=True), act=True)
    assert stage.store.asked == ["values", "heads", "heads"], "those that do not move are read once more (rule A8)"
    monkeypatch.setattr(unfinished, "PAGE", 4)
    stage.store.asked.clear()
    await stage.move(version(ribbon=True, unit=True), act=False)
    assert stage.store.asked == ["values"] * 2, "one for each page that holds values to look at"


async def test_before_a_deploy_each_reason_is_said_once_with_its_sagas(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "PAGE", 4)
    assert (await look_ahead(stage.store, {"send": stage.old})).unserved == []
    outlook = await look_ahead(stage.store, {"send": version(unit=True)})
    (unserved,) = outlook.unserved
    assert outlook.open == 10
    assert sorted(unserved.sagas) == stage.ids[:3]
    assert unserved.lines()[0] == (
        f"send {stage.old.manifest.fingerprint[:6]}: 3 open sagas cannot be served: "
        "what 'parcel' gave is none of the new type: unit: Field required"
    )
    (gone,) = (await look_ahead(stage.store, {})).unserved
    assert len(gone.sagas) == 10


class Trip(BaseModel):
    order: Order


class Family:
    """A trip sends an order, waits, and has a pivot; its child has completed."""

    def __init__(self) -> None:
        self.store = CountedStore()
        self.engine = Engine(self.store, LoopClock())
        self.trip = trip()
        self.parent, self.child = self.ids = ["01900000-0000-7000-8000-000000000001", ""]

    async def begin(self) -> None:
        child = sending().manifest
        for manifest in (self.trip.manifest, child):
            await self.store.put_manifest(manifest)
        order: Json = {"city": "Lima"}
        await self.engine.apply([Start(self.parent, self.trip.manifest, {"order": order})])
        step = (await self.store.heads([self.parent]))[self.parent].step("sent")
        assert step.child is not None
        self.child = step.child
        self.ids[1] = step.child
        parent = Parent(self.parent, "sent", 1)
        await self.engine.apply([Start(self.child, child, order, parent=parent)])
        await self.engine.apply([Outcome(self.child, 2, 1, "parcel", None, "step", "succeeded", 1)])
        ended = ChildEnds(self.parent, "e1", child_id=self.child, step="sent", attempt=1, status="completed", result=1)
        await self.engine.apply([ended])
        heads = await self.store.heads(self.ids)
        assert [heads[saga_id].status for saga_id in self.ids] == ["active", "completed"]

    async def pass_pivot(self) -> None:
        head = (await self.store.heads([self.parent]))[self.parent]
        (wait,) = (wait for wait in head.waits.values() if wait.kind == "step")
        await self.engine.apply([Outcome(self.parent, wait.opened_by, 1, "paid", None, "step", "succeeded", None)])


def sending(*, undo: bool = True, more: bool = False) -> Sealed:
    saga = Saga("sending", input=Order, result=int)

    @saga.step("parcel")
    async def pack(order: Order) -> int:
        return 1

    if undo:

        @pack.undo
        async def unpack(order: Order) -> None: ...

    if more:

        @saga.step("ribbon", after=[pack])
        async def tie(order: Order) -> None: ...

    return saga.seal()


def trip() -> Sealed:
    saga = Saga("trip", input=Trip)
    sent = saga.start("sent", sending().saga, input="input.order")

    @saga.step("paid", pivot=True, after=[sent])
    async def pay(trip: Trip) -> None: ...

    @saga.step("told", after=[pay])
    async def tell(trip: Trip) -> None: ...

    return saga.seal()


async def test_a_completed_child_is_looked_at_and_moved_while_its_parent_may_turn_it_back() -> None:
    family = Family()
    await family.begin()
    lacking = {"trip": family.trip, "sending": sending(undo=False)}
    outlook = await look_ahead(family.store, lacking)
    (unserved,) = outlook.unserved
    assert (unserved.definition, unserved.sagas, outlook.open) == ("sending", (family.child,), 2)
    assert unserved.gap.what == "the undo of 'parcel' is gone, and they still need it"
    new = sending(more=True)
    moved = [one async for page in move_open(family.store, family.engine, new, ASK, act=True) for one in page]
    assert [(one.saga_id, one.status, one.moves) for one in moved] == [(family.child, "completed", True)]
    await family.pass_pivot()
    assert (await look_ahead(family.store, lacking)).open == 1, "nothing turns it back any more"

"""What new definitions lack for open sagas: each gap is named with what to do, and what is no gap is not."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from amends import Context, Saga, Transaction, hours
from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.execution import Surroundings
from consumers.inprocess import Broker, InProcessTransport
from consumers.worker import Worker
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from sagas.decide import decide
from sagas.inputs import Outcome, Send, Start
from sagas.seal import Sealed
from sagas.serving import gaps_of
from sagas.state import Key, Parent, State, StepState, Wait
from tests.unit.test_decisions import FAILED, SAGA


class Order(BaseModel):
    city: str = "Lima"
    gift: bool = False


class Stock(BaseModel):
    id: str = "s"


def order(change: Callable[[Saga[Order, None]], None] | None = None) -> Saga[Order, None]:
    """The first version: stock, money behind a pivot, a letter; or another."""
    saga = Saga("order", input=Order)
    (change or first)(saga)
    return saga


def first(saga: Saga[Order, None]) -> None:
    @saga.step("stock")
    async def reserve(order: Order) -> Stock:
        return Stock()

    @reserve.undo
    async def release(order: Order) -> None: ...

    @saga.step("money", pivot=True)
    async def charge(order: Order, stock: Stock) -> int:
        return 7

    @saga.step("letter")
    async def write(order: Order, money: int) -> None: ...


class Progress:
    """One saga of the first version."""

    def __init__(self, *done: str) -> None:
        self.manifest = order().seal().manifest
        self.state = State(SAGA)
        self._give(Start(SAGA, self.manifest, {"city": "Lima"}))
        for step in done:
            self.tell(step)

    def tell(self, step: str, kind: Any = "succeeded", **more: Any) -> None:
        wait = next(wait for wait in self.state.waits.values() if wait.step == step)
        self._give(Outcome(SAGA, wait.opened_by, wait.attempt, step, None, wait.role, kind, **more))

    def _give(self, word: Any) -> None:
        self.state = decide(self.manifest, self.state, word, 1000.0).state

    def gaps(self, change: Callable[[Saga[Order, None]], None] | None) -> list[str]:
        return [gap.what for gap in self.found(order(change).seal())]

    def found(self, *new: Sealed) -> list[Any]:
        return list(gaps_of(self.manifest, self.state, {sealed.manifest.name: sealed for sealed in new}))


def test_the_same_definitions_serve_everything() -> None:
    for done in ((), ("stock",), ("stock", "money")):
        assert Progress(*done).gaps(first) == []


def test_a_definition_that_is_gone_is_a_gap_with_what_to_do() -> None:
    (gap,) = Progress().found()
    assert gap.what == "nothing that was named declares 'order'"
    assert "name its module too" in gap.remedy


def without_letter(saga: Saga[Order, None]) -> None:
    @saga.step("stock")
    async def reserve(order: Order) -> Stock:
        return Stock()

    @saga.step("money", pivot=True)
    async def charge(order: Order, stock: Stock) -> int:
        return 7


def test_a_step_that_is_gone_is_a_gap_until_it_has_ended_and_an_undo_while_there_is_a_way_back() -> None:
    letter = "the step 'letter' is gone, and they still need it (step)"
    undo = "the undo of 'stock' is gone, and they still need it"
    assert Progress("stock").gaps(without_letter) == [undo, letter]
    assert Progress("stock", "money").gaps(without_letter) == [letter]
    (gap, _) = Progress("stock").found(order(without_letter).seal())
    assert "keep the undo of 'stock' under its name until they have ended" in gap.remedy
    assert "amends migrate-sagas order --to MODULE" in gap.remedy


def test_turning_back_only_undos_are_needed() -> None:
    back = Progress("stock")
    back.tell("money", "failed", error=FAILED)
    assert back.state.status == "compensating"
    assert back.gaps(without_letter) == ["the undo of 'stock' is gone, and they still need it"]


def greedy(saga: Saga[Order, None]) -> None:
    @saga.step("stock")
    async def reserve(order: Order) -> Stock:
        return Stock()

    @reserve.undo
    async def release(order: Order) -> None: ...

    @saga.step("risk")
    async def look(order: Order) -> int:
        return 1

    @saga.step("money", pivot=True)
    async def charge(order: Order, stock: Stock, risk: int, context: Context) -> int:
        return 7

    @saga.step("letter")
    async def write(order: Order, money: int) -> None: ...


def patient(saga: Saga[Order, None]) -> None:
    @saga.step("stock")
    async def reserve(order: Order) -> Stock:
        return Stock()

    @reserve.undo
    async def release(order: Order) -> None: ...

    @saga.step("bonus", when="input.gift")
    async def add(order: Order) -> int:
        return 1

    @saga.step("money", pivot=True)
    async def charge(order: Order, stock: Stock, bonus: int | None) -> int:
        return 7

    @saga.step("letter")
    async def write(order: Order, money: int) -> None: ...


def test_a_parameter_that_their_version_does_not_send_is_a_gap_unless_it_may_be_nothing() -> None:
    assert Progress("stock").gaps(greedy) == ["'money' takes 'risk', which their version does not send"]
    assert Progress("stock", "money").gaps(greedy) == []
    assert Progress("stock").gaps(patient) == []


def elsewhere(saga: Saga[Order, None]) -> None:
    @saga.step("stock", queue="warehouse")
    async def reserve(order: Order, transaction: Transaction) -> Stock:
        return Stock()

    @reserve.undo
    async def release(order: Order) -> None: ...

    @saga.step("money", pivot=True, queue="bank")
    async def charge(order: Order, stock: Stock) -> int:
        return 7

    @saga.step("letter", queue="bank")
    async def write(order: Order, money: int) -> None: ...


def test_a_queue_that_nobody_would_read_and_a_transaction_that_came_are_gaps() -> None:
    assert Progress().gaps(elsewhere) == [
        "'stock' is sent to the queue 'default', which nobody would read",
        "'stock' takes a Transaction now: its key would not tell what happened",
        "'money' is sent to the queue 'default', which nobody would read",
        "'letter' is sent to the queue 'default', which nobody would read",
    ]


def test_a_completed_child_needs_its_undos_and_nothing_else() -> None:
    """rule_B5: its parent may turn it back."""
    child = Progress("stock")
    child.manifest = order(without_pivot).seal().manifest
    child.state = replace(child.state, status="completed", parent=Parent("p", "c", 1))
    assert child.gaps(without_letter) == ["the undo of 'stock' is gone, and they still need it"]
    assert child.gaps(first) == []


def test_what_an_operator_is_asked_about_after_the_end_needs_its_undo() -> None:
    """rule_O4."""
    ended = Progress("stock")
    ended.state = replace(ended.state, status="compensated", waits={})
    assert ended.gaps(without_letter) == []
    asked = Wait(9, "operator", "stock", cause="late_effect")
    steps: dict[Key, StepState] = {("stock", None): StepState("undone", attempt=2)}
    for status in ("compensated", "failed"):
        ended.state = replace(ended.state, status=status, steps=steps, waits={9: asked})
        assert ended.gaps(without_letter) == ["the undo of 'stock' is gone, and they still need it"]


def without_pivot(saga: Saga[Order, None]) -> None:
    @saga.step("stock")
    async def reserve(order: Order) -> Stock:
        return Stock()

    @reserve.undo
    async def release(order: Order) -> None: ...

    @saga.step("letter")
    async def write(order: Order, stock: Stock) -> None: ...


class Yes(BaseModel):
    by: str


class Sure(BaseModel):
    by: str
    note: str = ""
    city: str | None = None


class Signed(BaseModel):
    by: str
    at: str


def asking(model: type[BaseModel] | None) -> Sealed:
    """A saga that waits for somebody; without a model `agreed` is a step."""
    saga = Saga("order", input=Order)

    @saga.step("stock")
    async def reserve(order: Order) -> Stock:
        return Stock()

    if model is not None:
        saga.wait("agreed", model=model, timeout=hours(1), on_timeout="compensate", after=[reserve])
    else:

        @saga.step("agreed")
        async def agree(order: Order) -> int:
            return 1

    return saga.seal()


def test_a_wait_that_nobody_could_end_any_more_is_a_gap_until_it_has_ended() -> None:
    waits = Progress()
    waits.manifest = asking(Yes).manifest
    waits.state = decide(waits.manifest, State(SAGA), Start(SAGA, waits.manifest, {}), 1000.0).state
    gone = order(alone).seal()
    (gap,) = waits.found(gone)
    assert (
        gap.what == "the wait 'agreed' is gone, and they still wait for it: no route or client of yours would send it"
    )
    assert "keep 'agreed' under its name" in gap.remedy
    assert "amends saga signal ID agreed JSON" in gap.remedy
    assert [gap.what for gap in waits.found(asking(None))] == [
        "'agreed', which they wait for, is a step now: no route or client of yours would send it"
    ]
    assert [gap.what for gap in waits.found(asking(Signed))] == [
        "'agreed' is sent as Signed now: what was right for them, Yes, is refused"
    ]
    assert waits.found(asking(Sure)) == waits.found(asking(Yes)) == [], "a field with a default is no change"
    waits.tell("stock")
    (gap,) = waits.found(gone)
    waits.state = decide(waits.manifest, waits.state, Send(SAGA, "agreed", {"by": "Bo"}, "s"), 1000.0).state
    assert waits.found(gone) == [], "it has been sent"


def alone(saga: Saga[Order, None]) -> None:
    @saga.step("stock")
    async def reserve(order: Order) -> Stock:
        return Stock()


def test_a_saga_goes_by_its_own_version_with_handlers_found_by_name() -> None:
    """A version that was deployed meanwhile brings handlers, and no other order, step, or policy."""
    ran: list[str] = []

    def later(saga: Saga[Order, None]) -> None:
        @saga.step("letter")
        async def write(order: Order) -> None:
            ran.append("letter of the new version")

        @saga.step("stock")
        async def reserve(order: Order) -> Stock:
            ran.append("stock of the new version")
            return Stock()

        @saga.step("insurance")
        async def insure(order: Order) -> None:
            ran.append("insurance")

        @saga.step("money", pivot=True, after=[write, insure])
        async def charge(order: Order, stock: Stock) -> int:
            ran.append("money of the new version")
            return 7

    async def go() -> str:
        store, clock, broker = MemoryStore(asyncio.get_running_loop().time), LoopClock(), Broker()
        sender = InProcessTransport(broker, "o")
        publisher = Publisher(store, sender, clock, 4.0)
        engine = Engine(store, clock, publisher)
        old, new = order().seal(), order(later).seal()
        for sealed in (old, new):
            await store.put_manifest(sealed.manifest)
        worker = Worker(InProcessTransport(broker, "w"), store, {"order": new}, Surroundings(worker="w"), engine)
        orchestrator = Orchestrator(store, sender, clock, engine, publisher)
        tasks = [asyncio.create_task(worker.run()), asyncio.create_task(orchestrator.run())]
        await engine.apply([Start(SAGA, old.manifest, {"city": "Lima"})])
        await clock.sleep(20)
        worker.drain()
        orchestrator.stop()
        await asyncio.wait(tasks)
        return (await store.heads([SAGA]))[SAGA].status

    assert run_virtual(go) == "completed"
    assert ran == ["stock of the new version", "money of the new version", "letter of the new version"]

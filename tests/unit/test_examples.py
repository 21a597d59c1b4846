"""The examples that this version runs, run in the kit; the others say by name what they wait for."""

import importlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from amends import DidNotHappen, Permanent, Transaction, days, hours
from amends.testing import Unknown, assert_undone_for_each_failure, run, send

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
Load = Callable[[str], Any]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """An example by its name, imported as users import it."""
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    before = set(sys.modules)

    def found(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield found
    for name in set(sys.modules) - before:
        del sys.modules[name]


class Plans:
    """A transaction on two tables that are held in memory."""

    def __init__(self, phase1: list[str]) -> None:
        self.status = "pending"
        self.plan = {"id": "p", "phase1": phase1, "opportunities": ["sell more"]}
        self.tasks: dict[str, str] = {}

    async def fetch(self, query: str, plan_id: str) -> list[dict[str, Any]]:
        if plan_id != "p":
            return []
        self.status = "approved"
        return [self.plan]

    async def fetchval(self, query: str, plan_id: str, title: str) -> str:
        self.tasks[f"t{len(self.tasks)}"] = title
        return list(self.tasks)[-1]

    async def execute(self, query: str, *args: Any) -> str:
        if query.startswith("DELETE"):
            for task in args[0]:
                del self.tasks[task]
        elif "SET status" in query:
            self.status = query.partition("'")[2].partition("'")[0]
        return ""


def approved(example: Any, plans: Plans, plan_id: str = "p", **answers: Any) -> Any:
    request = example.Approve(plan_id=plan_id, approved_by="Bo")
    return run(
        example.approval, request, answers=answers, resources={Transaction: plans, example.Mailer: example.Mailer()}
    )


def test_an_approval_makes_tasks(load: Load) -> None:
    example, plans = load("approval"), Plans(["one", "two"])
    done = approved(example, plans)
    assert (done.status, done.fallbacks, plans.status) == ("completed", [], "ready")
    assert list(plans.tasks.values()) == ["one", "two"]


def test_an_approval_without_a_first_phase_makes_one(load: Load) -> None:
    example, plans = load("approval"), Plans([])
    done = approved(example, plans)
    assert (done.status, done.fallbacks) == ("completed", ["phase1"])
    assert list(plans.tasks.values()) == ["sell more"]


def test_an_approval_that_fails_is_undone_in_order(load: Load) -> None:
    example, plans = load("approval"), Plans(["one"])
    done = approved(example, plans, published=Permanent("no"))
    assert (done.status, done.undone) == ("compensated", ["assignment", "tasks", "plan"])
    assert (plans.status, plans.tasks) == ("pending", {})
    assert approved(example, plans, plan_id="unknown").status == "compensated"


def test_a_trip_is_given_back(load: Load) -> None:
    example = load("trip")
    request = example.Trip(traveller="Ada", city="Lima", nights=2, rental_car=True)
    booked = {
        example.book_hotel: example.Hotel(confirmation="h"),
        example.book_flight: example.Flight(locator="f"),
    }
    done = run(example.trip, request, answers=booked)
    assert done.result == example.Itinerary(hotel="h", flight="f", car="AB-123")
    lost = run(example.trip, request, answers={**booked, example.book_hotel: Unknown(happened=True)})
    assert (lost.status, "hotel" in lost.undone) == ("compensated", True)
    assert_undone_for_each_failure(example.trip, request, booked)


def test_a_laptop_is_ordered(load: Load) -> None:
    example = load("onboarding")
    done = run(example.provision, example.LaptopRequest(model="light", office="Lima"))
    assert done.result == example.Laptop(serial="X1")


def order(example: Any, *, gift: bool = False) -> Any:
    return example.Order(id="1", total=Decimal(10), parcels=[example.Parcel(weight=1)], gift=gift)


def ordered(example: Any) -> dict[Any, Any]:
    return {example.reserve: example.Reservation(id="r"), example.take_money: example.Charge(id="c")}


def test_an_order_waits_for_a_person_and_an_hour_then_takes_the_money(load: Load) -> None:
    example = load("checkout")
    yes = send(example.approval, example.Approval(yes=True, by="Bo"), after=hours(3))
    done = run(example.checkout, order(example, gift=True), answers=ordered(example), signals=[yes])
    assert done.status == "completed"
    assert done.took >= timedelta(hours=4)
    assert done.ran == ["reservation", "approved", "charge", "labels", "gift_note"]


def test_an_order_is_undone_whatever_step_fails(load: Load) -> None:
    example = load("checkout")
    yes = send(example.approval, example.Approval(yes=True, by="Bo"))
    answers = {**ordered(example), "charge:probe": DidNotHappen()}
    resources = {example.StockClient: example.StockClient()}
    assert_undone_for_each_failure(
        example.checkout, order(example, gift=True), answers, resources=resources, signals=[yes]
    )
    with pytest.raises(AssertionError, match="'approved' is never reached: give the signals that it waits for"):
        assert_undone_for_each_failure(example.checkout, order(example), answers, resources=resources)


def test_an_order_that_is_refused_or_never_answered_gives_the_stock_back(load: Load) -> None:
    example = load("checkout")
    no = send(example.approval, example.Approval(yes=False, by="Bo"), after=hours(1))
    for signals in ([no], []):
        done = run(example.checkout, order(example), answers=ordered(example), signals=signals, unused_ok=True)
        assert (done.status, done.undone) == ("compensated", ["reservation"])


def test_money_that_nobody_knows_of_is_asked_about(load: Load) -> None:
    example = load("checkout")

    class Payments(example.Payments):  # type: ignore[misc, name-defined]
        async def find(self, key: str) -> str | None:
            return "found"

    done = run(
        example.checkout, order(example), answers={**ordered(example), example.take_money: Unknown(happened=True)},
        resources={example.Payments: Payments()},
        signals=[send(example.approval, example.Approval(yes=True, by="Bo"))],
    )  # fmt: skip
    assert done.status == "completed"
    assert any(type(event).__name__ == "ProbeAnswered" for event in done.events)


class Directory:
    async def create(self, name: str, key: str) -> str:
        return name.lower()

    async def disable(self, key: str) -> None: ...


def hired(example: Any, *, signs: bool = True, answers: Any = None) -> Any:
    hire = example.Hire(name="Ada", office="Lima", first_day=datetime(2026, 1, 15, 9, tzinfo=UTC))
    signed = [send(example.signature, example.Signature(signed_by="Ada"), after=days(1))] if signs else []
    return run(example.onboarding, hire, answers=answers, resources={example.Directory: Directory()}, signals=signed)


def test_a_colleague_gets_a_laptop_by_a_child_and_a_badge_on_the_first_day(load: Load) -> None:
    example = load("onboarding")
    done = hired(example)
    assert done.status == "completed"
    assert [event.status for event in done.events if type(event).__name__ == "ChildEnded"] == ["completed"]
    assert done.took >= timedelta(days=14), "the virtual year begins on the first of January"


def test_a_colleague_who_never_signs_has_the_laptop_taken_back(load: Load) -> None:
    """def_R24: a child that has completed turns back with its parent."""
    example = load("onboarding")
    done = hired(example, signs=False)
    assert (done.status, sorted(done.undone)) == ("compensated", ["account", "laptop"])


def test_a_badge_that_nobody_knows_of_waits_for_an_operator(load: Load) -> None:
    example = load("onboarding")
    done = hired(example, answers={example.issue_badge: Unknown()})
    assert done.status == "active"
    assert [(wait.kind, wait.step) for wait in done.waits] == [("operator", "badge")]


@pytest.mark.parametrize(
    ("name", "says"),
    [("analysis", "breaker 'agents'")],
)
def test_what_this_version_does_not_run_it_says(load: Load, name: str, says: str) -> None:
    with pytest.raises(NotImplementedError, match=says):
        run(getattr(load(name), name), None)

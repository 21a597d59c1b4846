"""The examples that this version runs, run in the kit; the others say by name what they wait for."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from amends import Permanent, Transaction
from amends.testing import Unknown, assert_undone_for_each_failure, run

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


@pytest.mark.parametrize(
    ("name", "says"),
    [("checkout", "wait 'approval'"), ("analysis", "breaker 'agents'"), ("onboarding", "child 'laptop'")],
)
def test_what_this_version_does_not_run_it_says(load: Load, name: str, says: str) -> None:
    with pytest.raises(NotImplementedError, match=says):
        run(getattr(load(name), name), None)

"""What goes wrong around a handler, on virtual time: nothing is lost, and nothing is done twice unseen."""

import pytest
from pydantic import BaseModel

from amends import Context, DidNotHappen, Happened, Permanent, Saga, hours
from amends.testing import Fault, run
from amends.testing import events as e


class Trip(BaseModel):
    city: str = "Lima"


class World:
    """What handlers did outside."""

    def __init__(self) -> None:
        self.booked: list[str] = []
        self.flights = 0


def trip(*, probed: bool = False) -> Saga[Trip, None]:
    saga = Saga("trip", input=Trip, resources=[World])

    @saga.step("hotel", timeout=5)
    async def book(request: Trip, world: World, context: Context) -> str:
        world.booked.append(context.idempotency_key)
        return "H"

    @book.undo
    async def give_back(result: str | None, world: World) -> None:
        world.booked.clear()

    if probed:

        @book.probe
        async def find(request: Trip, world: World) -> Happened[str] | DidNotHappen:
            return Happened("H") if world.booked else DidNotHappen()

    @saga.step("flight", after=[book])
    async def fly(request: Trip, world: World) -> str:
        world.flights += 1
        if request.city == "Atlantis":
            raise Permanent("no seats")
        return "F"

    return saga


def attempts(events: list[e.Event], step: str) -> list[int]:
    return [event.attempt for event in events if isinstance(event, e.StepScheduled) and event.step == step]


def causes(events: list[e.Event]) -> list[str]:
    return [event.cause for event in events if isinstance(event, e.StepOutcomeUnknown)]


def test_a_worker_that_dies_after_its_work_is_followed_by_another_attempt() -> None:
    world = World()
    done = run(trip(), Trip(), resources={World: world}, faults={"hotel": Fault.WORKER_DIES})
    assert done.status == "completed"
    assert (attempts(done.events, "hotel"), causes(done.events)) == ([1, 2], ["worker_lost"])
    assert len(world.booked) == 2, "it ran twice, under two keys or one, as its provider sees it"
    assert 4 < done.took.total_seconds() < 6


def test_a_worker_that_dies_before_anybody_heard_is_asked_about_by_the_probe() -> None:
    world = World()
    done = run(trip(probed=True), Trip(), resources={World: world}, faults={"hotel": Fault.WORKER_DIES})
    assert (done.status, len(world.booked)) == ("completed", 1)


def test_a_command_that_is_lost_is_sent_anew_under_its_next_attempt() -> None:
    world = World()
    done = run(trip(), Trip(), resources={World: world}, faults={"hotel": Fault.COMMAND_LOST})
    assert (done.status, len(world.booked)) == ("completed", 1)
    assert (attempts(done.events, "hotel"), causes(done.events)) == ([1, 2], ["lost"])


def test_a_step_that_runs_twice_counts_once() -> None:
    world = World()
    done = run(trip(), Trip(), resources={World: world}, faults={"flight": Fault.RUNS_TWICE})
    assert (done.status, world.flights, done.ran) == ("completed", 2, ["hotel", "flight"])


def test_an_outcome_that_comes_after_the_end_is_told_an_operator() -> None:
    world = World()
    done = run(trip(), Trip(city="Atlantis"), resources={World: world},
               faults={"hotel": [Fault.late(hours(1)), Fault.WORKER_DIES]})  # fmt: skip
    assert (done.status, causes(done.events)) == ("compensated", ["timed_out", "worker_lost"])
    assert [event.attempt for event in done.events if isinstance(event, e.LateOutcomeSeen)] == [1]
    assert [wait.kind for wait in done.waits] == ["operator"]


def test_each_attempt_has_its_own_fault() -> None:
    world = World()
    done = run(trip(), Trip(city="Atlantis"), resources={World: world},
               faults={"hotel": [Fault.COMMAND_LOST, None], "hotel:undo": Fault.WORKER_DIES})  # fmt: skip
    assert (done.status, world.booked) == ("compensated", [])
    assert [event.cause for event in done.events if isinstance(event, e.UndoFailed)] == ["worker_lost"]


def test_a_fault_that_never_strikes_is_a_wrong_test() -> None:
    with pytest.raises(AssertionError, match="faults that never struck: hotel:undo"):
        run(trip(), Trip(), resources={World: World()}, faults={"hotel:undo": Fault.WORKER_DIES})
    with pytest.raises(LookupError, match="'car' is no step of saga 'trip'"):
        run(trip(), Trip(), resources={World: World()}, faults={"car": Fault.WORKER_DIES})

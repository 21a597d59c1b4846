"""`given(…).when(…).then(…)`: what is compared, what a failure shows, and what is refused."""

import pytest
from pydantic import BaseModel

from amends import InputError, Permanent, Saga
from amends.testing import Unknown, cancel, events, given, later, outcome
from tests.unit.test_decisions import node
from tests.unit.test_prove import of


class Trip(BaseModel):
    city: str


class Hotel(BaseModel):
    code: str


trip = Saga("trip", input=Trip)


@trip.step("hotel")
async def book_hotel(request: Trip) -> Hotel:
    raise NotImplementedError


@book_hotel.undo
async def cancel_hotel(result: Hotel | None) -> None: ...


@trip.step("flight", after=[book_hotel])
async def book_flight(request: Trip) -> str:
    raise NotImplementedError


LIMA = Trip(city="Lima")
BOOKED = outcome(book_hotel, Hotel(code="H1"))


def test_a_saga_decides_without_running_anything() -> None:
    given(trip, LIMA).when(BOOKED).then(
        events.StepSucceeded(step="hotel", result={"code": "H1"}),
        events.StepScheduled(step="flight"),
    )


def test_events_can_be_given_as_they_were_recorded() -> None:
    given(
        trip, LIMA, events.StepSucceeded(step="hotel", attempt=1), events.StepScheduled(step="flight", attempt=1)
    ).when(outcome(book_flight, Permanent("no seats"))).then(
        events.StepFailed(step="flight", error={"message": "no seats"}),
        events.SagaTurnedBack(step="flight", cause="failure"),
        events.UndoScheduled(step="hotel"),
    )


def test_one_thing_after_another() -> None:
    back = (
        given(trip, LIMA, BOOKED)
        .when(cancel("enough"), outcome(book_flight, "F1"))
        .then(
            events.CancelRequested(reason="enough"),
            events.SagaTurnedBack(cause="cancel", reason="enough"),
            events.StepSucceeded(step="flight"),
            events.UndoScheduled(step="hotel"),
        )
    )
    done = back.when(outcome(book_hotel)).then(events.StepUndone(step="hotel"), events.SagaCompensated())
    assert done.status == "compensated"


def test_what_did_not_follow_is_shown_beside_what_did() -> None:
    with pytest.raises(AssertionError) as wrong:
        given(trip, LIMA).when(BOOKED).then(events.StepSucceeded(step="hotel"), events.StepScheduled(step="car"))
    assert str(wrong.value).splitlines()[0] == "- is expected, + has followed:"
    assert "  StepSucceeded step='hotel'" in str(wrong.value)
    assert "- StepScheduled step='car'" in str(wrong.value)
    assert "+ StepScheduled step='flight'" in str(wrong.value)


def test_what_nobody_expected_is_shown_with_all_that_it_says() -> None:
    with pytest.raises(AssertionError, match=r"\+ StepScheduled step='flight' attempt=1"):
        given(trip, LIMA).when(BOOKED).then(events.StepSucceeded(step="hotel"))


def test_a_result_of_another_type_is_a_wrong_test() -> None:
    with pytest.raises(InputError, match="what 'hotel' gives"):
        given(trip, LIMA).when(outcome(book_hotel, 7))


def test_a_call_that_is_not_out_is_a_wrong_test() -> None:
    with pytest.raises(
        AssertionError, match=r"no call of 'flight' is out; the saga is active and waits for hotel \(step\)"
    ):
        given(trip, LIMA).when(outcome(book_flight, "F1"))
    with pytest.raises(AssertionError, match="saga 'trip' has no step called 'car'"):
        given(trip, LIMA).when(outcome("car"))


def test_a_refusal_says_why() -> None:
    done = given(of(node("a")), None, outcome("a"))
    done.when(cancel()).refused("the saga is completed")
    with pytest.raises(AssertionError, match="the answer is 'the saga is completed'"):
        done.when(cancel()).refused("too late")
    with pytest.raises(AssertionError, match="StepSucceeded"):
        given(of(node("a"))).when(outcome("a")).refused()


def test_a_late_word_is_about_its_attempt() -> None:
    again = given(of(node("a"), node("b", after=("a",))), None, outcome("a", Unknown()), later(1))
    again.when(outcome("a", 1, attempt=1)).then(
        events.StepSucceeded(step="a", attempt=1, late=True), events.StepScheduled(step="b")
    )

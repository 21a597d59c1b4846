"""The messages of wrong definitions: file, line, function and parameter, what was expected, and a remedy."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from amends import (
    DefinitionError,
    Saga,
)
from sagas.nodes import Step

PLACE = re.compile(r"(test_\w+\.py|<string>):\d+:? ")


class Trip(BaseModel):
    traveller: str
    city: str
    nights: int
    rental_car: bool = False


class Hotel(BaseModel):
    confirmation: str


class Flight(BaseModel):
    locator: str


class Car(BaseModel):
    plate: str


class Itinerary(BaseModel):
    hotel: str


class Airline: ...


class HotelClient: ...


def trip() -> tuple[Saga[Trip, None], Step[[Trip], Hotel]]:
    """A saga with a hotel, and the hotel."""
    saga = Saga("trip", input=Trip, resources=[HotelClient])

    @saga.step("hotel")
    async def book_hotel(request: Trip) -> Hotel:
        return Hotel(confirmation="")

    return saga, book_hotel


def message_of(declare: Callable[[], object]) -> str:
    """The error's text, without the file and the line that it begins with."""
    text = graph_message_of(declare)
    place = PLACE.match(text)
    assert place, f"no place: {text}"
    return text[place.end() :]


def graph_message_of(declare: Callable[[], object]) -> str:
    """The text of an error that speaks of the graph: it names nodes and sagas, not lines."""
    with pytest.raises(DefinitionError) as raised:
        declare()
    return str(raised.value)


def test_typo() -> None:
    """def_R4: what concerns one function is said by its decorator."""

    def declare() -> None:
        saga, _ = trip()

        @saga.step("letter")
        async def write_letter(hotle: Hotel) -> None: ...

    assert message_of(declare) == (
        "write_letter: parameter 'hotle' of step 'letter': nothing gives it\n"
        "  did you mean 'hotel'?\n"
        "  earlier steps of 'trip': hotel: Hotel\n"
        "  input: Trip; resources: HotelClient\n"
        "  remedy: declare the step above this one, or add Hotel to Saga(..., resources=[...])"
    )


def test_wrongname() -> None:
    def declare() -> None:
        saga, _ = trip()

        @saga.step("letter")
        async def write_letter(booking: Hotel) -> None: ...

    assert message_of(declare) == (
        "write_letter: parameter 'booking' of step 'letter': nothing gives it\n"
        "  Hotel is given by step 'hotel': name the parameter 'hotel'\n"
        "  earlier steps of 'trip': hotel: Hotel\n"
        "  input: Trip; resources: HotelClient\n"
        "  remedy: declare the step above this one, or add Hotel to Saga(..., resources=[...])"
    )


def test_wrongtype() -> None:
    def declare() -> None:
        saga, _ = trip()

        @saga.step("letter")
        async def write_letter(hotel: Flight) -> None: ...

    assert message_of(declare) == (
        "write_letter: parameter 'hotel' of step 'letter' is Flight, but 'hotel' gives Hotel\n"
        "  remedy: annotate `hotel: Hotel`"
    )


def test_noresource() -> None:
    """def_R5."""

    def declare() -> None:
        saga, _ = trip()

        @saga.step("flight")
        async def book_flight(airline: Airline) -> None: ...

    assert message_of(declare) == (
        "book_flight: parameter 'airline' of step 'flight': nothing gives it\n"
        "  earlier steps of 'trip': hotel: Hotel\n"
        "  input: Trip; resources: HotelClient\n"
        "  remedy: declare the step above this one, or add Airline to Saga(..., resources=[...])"
    )


def test_unknown_undo() -> None:
    def declare() -> None:
        saga, book_hotel = trip()

        @book_hotel.undo
        async def cancel_hotel(result: Hotel) -> None: ...

        saga.check()

    assert message_of(declare) == (
        "cancel_hotel: parameter 'result' of undo 'hotel' is Hotel, but nobody may know whether 'hotel' happened: "
        "its outcome can be unknown after a timeout\n"
        "  remedy: take `result: Hotel | None` and treat None as 'perhaps', or give the step a probe, or do the work "
        "in a Transaction"
    )


def test_own_name() -> None:
    """def_R6."""

    def declare() -> None:
        _, book_hotel = trip()

        @book_hotel.undo
        async def cancel_hotel(hotel: Hotel | None) -> None: ...

    assert message_of(declare) == (
        "cancel_hotel: parameter 'hotel' of undo 'hotel': a step's own result is called `result`\n"
        "  remedy: rename the parameter to `result`"
    )


def test_skipped() -> None:
    def declare() -> None:
        saga, _ = trip()

        @saga.step("car", when="input.rental_car")
        async def book_car() -> Car:
            return Car(plate="")

        @saga.step("itinerary")
        async def write(car: Car) -> None: ...

    assert message_of(declare) == (
        "write: parameter 'car' of step 'itinerary' is Car, but 'car' gives Car | None (it has `when`, so it may be "
        "skipped)\n"
        "  remedy: annotate `car: Car | None`"
    )


def test_path() -> None:
    def declare() -> None:
        saga, _ = trip()

        @saga.step("car", when="input.rental")
        async def book_car() -> Car:
            return Car(plate="")

    assert graph_message_of(declare) == (
        "when of step 'car' of saga 'trip': path 'input.rental': Trip has no field 'rental'; it has traveller, city, "
        "nights, rental_car"
    )


def test_path2() -> None:
    def declare() -> None:
        saga, _ = trip()

        @saga.step("car", when="input.nights")
        async def book_car() -> Car:
            return Car(plate="")

    assert graph_message_of(declare) == "when='input.nights' of step 'car': is int; a bool or a `T | None` is needed"


def test_nothing() -> None:
    def declare() -> None:
        saga, _ = trip()

        @saga.step("mail")
        async def send_mail(request: Trip) -> None: ...

        @saga.step("after")
        async def after(mail: None) -> None: ...

    assert message_of(declare) == (
        "after: parameter 'mail' of step 'after': 'mail' gives nothing\n"
        "  remedy: drop the parameter and say after=[mail]"
    )


def test_changes() -> None:
    def declare() -> None:
        enrich = Saga("enrich", input=Trip)

        @enrich.step("hotel")
        async def book(trip: Trip) -> Hotel:
            return Hotel(confirmation="")

        @enrich.step("trip")
        async def more(hotel: Hotel) -> Hotel:
            return hotel

    assert graph_message_of(declare) == (
        "step 'trip' would change what 'trip' means: book(trip) already takes it as the saga's input\n"
        '  remedy: give the step another name: @enrich.step("...")'
    )


def test_parallel_pivot() -> None:
    """def_R4, def_R9: what concerns the graph is said when it is checked."""

    def declare() -> None:
        saga, _ = trip()

        @saga.step("pay", pivot=True)
        async def pay(request: Trip) -> None: ...

        saga.check()

    assert graph_message_of(declare) == (
        "'hotel' is neither before nor behind the pivot 'pay': it could fail when the way back is closed\n"
        "  remedy: add after=[hotel] to 'pay', or after=[pay] to 'hotel'"
    )


def test_behind() -> None:
    """def_R9."""

    def declare() -> None:
        saga, book_hotel = trip()

        @saga.step("pay", pivot=True, after=[book_hotel])
        async def pay(request: Trip) -> None: ...

        @saga.step("car", after=[pay])
        async def book_car() -> Car:
            return Car(plate="")

        @book_car.undo
        async def return_car() -> None: ...

        saga.check()

    assert graph_message_of(declare) == (
        "step 'car' has an undo but comes behind the pivot 'pay', from where nothing is undone\n"
        "  remedy: remove the undo, or move the step before the pivot"
    )


def test_result_none() -> None:
    """def_R14."""

    def declare() -> None:
        saga = Saga("trip", input=Trip, result=Itinerary)

        @saga.step("hotel")
        async def book_hotel(request: Trip) -> Hotel:
            return Hotel(confirmation="")

        saga.check()

    assert graph_message_of(declare) == (
        "saga 'trip' promises result=Itinerary; steps that give it: none; exactly one is needed"
    )


def test_future() -> None:
    def declare() -> None:
        saga, _ = trip()
        step: Any = saga.step("a")

        async def a(local: "Local") -> None: ...  # type: ignore[name-defined] # noqa: F821

        step(a)

    assert message_of(declare) == (
        "a: the annotation 'Local' has no value at run time\n"
        "  remedy: import it outside `if TYPE_CHECKING:`, and declare sagas at module level"
    )

"""Book a trip; give everything back when one part cannot be had."""

from pydantic import BaseModel

from amends import Context, Permanent, Saga


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
    flight: str
    car: str | None


class HotelClient:
    async def book(self, city: str, nights: int, key: str) -> str:
        raise NotImplementedError

    async def cancel(self, key: str) -> None: ...


class Airline:
    async def book(self, traveller: str, city: str, key: str) -> str:
        raise NotImplementedError

    async def cancel(self, key: str) -> None: ...


trip = Saga("trip", input=Trip, result=Itinerary, resources=[HotelClient, Airline])


@trip.step("hotel", timeout=10)
async def book_hotel(request: Trip, hotels: HotelClient, context: Context) -> Hotel:
    return Hotel(confirmation=await hotels.book(request.city, request.nights, context.idempotency_key))


@book_hotel.undo
async def cancel_hotel(result: Hotel | None, hotels: HotelClient, context: Context) -> None:
    await hotels.cancel(context.step_key)  # by our key: right whether or not we saw the answer


@trip.step("flight", timeout=20)
async def book_flight(request: Trip, airline: Airline, context: Context) -> Flight:
    locator = await airline.book(request.traveller, request.city, context.idempotency_key)
    if not locator:
        raise Permanent("no seats")
    return Flight(locator=locator)


@book_flight.undo
async def cancel_flight(airline: Airline, context: Context) -> None:
    await airline.cancel(context.step_key)


@trip.step("car", when="input.rental_car", after=[book_flight])
async def book_car(request: Trip) -> Car:
    return Car(plate="AB-123")


@book_car.undo
async def return_car(result: Car | None) -> None: ...


@trip.step("itinerary")
async def write_itinerary(hotel: Hotel, flight: Flight, car: Car | None) -> Itinerary:
    return Itinerary(hotel=hotel.confirmation, flight=flight.locator, car=car.plate if car else None)

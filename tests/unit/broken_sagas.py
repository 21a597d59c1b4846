"""Sagas that are valid, and most of which have a hole that `amends prove` names."""

from pydantic import BaseModel

from amends import Retry, Saga, days, hours


class Order(BaseModel):
    id: str = "1"


shipped_for_ever = Saga("shipped_for_ever", input=Order, deadline=days(1))


@shipped_for_ever.step("paid", pivot=True)
async def pay(order: Order) -> int:
    return 1


@shipped_for_ever.step("shipped", after=[pay], retry=Retry(delays=[60], forever=True))
async def ship(order: Order) -> None:
    """Behind the pivot a deadline turns nothing back, and nobody is told that it fails again and again."""


undone_for_ever = Saga("undone_for_ever", input=Order)


@undone_for_ever.step("reserved")
async def reserve(order: Order) -> int:
    return 1


@reserve.undo(retry=Retry(delays=[60], forever=True))
async def release(order: Order) -> None:
    """It never gives up, so no operator ever hears of it."""


@undone_for_ever.step("checked", after=[reserve])
async def check(order: Order) -> None: ...


tried_without_deadline = Saga("tried_without_deadline", input=Order)


@tried_without_deadline.step("quote", retry=Retry(delays=[60], forever=True))
async def ask_for_quote(order: Order) -> int:
    """Without a deadline nothing but a person ends it."""
    return 1


doubted_for_ever = Saga("doubted_for_ever", input=Order, deadline=hours(1))


@doubted_for_ever.step("charged", pivot=True, retry=Retry(delays=[60], forever=True))
async def charge(order: Order) -> int:
    """A pivot that may have happened is never turned back, so the deadline changes nothing once it has timed out."""
    return 1


pause_outlasts_deadline = Saga("pause_outlasts_deadline", input=Order, deadline=days(2))


@pause_outlasts_deadline.step("ordered")
async def order_goods(order: Order) -> int:
    return 1


@order_goods.undo
async def send_back(order: Order) -> None: ...


cooling_off = pause_outlasts_deadline.sleep("cooling_off", days(3), after=[order_goods])


@pause_outlasts_deadline.step("delivered", after=[cooling_off])
async def deliver(order: Order) -> None: ...


waits_for_a_broken_child = Saga("waits_for_a_broken_child", input=Order)
quoted = waits_for_a_broken_child.start("quoted", tried_without_deadline, input="input")

quoted_in_time = Saga("quoted_in_time", input=Order, deadline=hours(1))
quoted_within = quoted_in_time.start("quoted", tried_without_deadline, input="input")
"""No hole: where nobody gives a quote, the deadline turns back parent and child."""

cooled = Saga("cooled", input=Order)
cooled.sleep("cooled_off", days(3))

pauses_of_a_child_outlast_deadline = Saga("pauses_of_a_child_outlast_deadline", input=Order, deadline=days(2))
pauses_of_a_child_outlast_deadline.start("cooled", cooled, input="input")

"""The sagas that people race with: an order with all that the language has, and its delivery."""

from contextvars import ContextVar

from pydantic import BaseModel

from amends import CannotTell, Context, DidNotHappen, Happened, Retry, Saga, Transaction
from tests.faults.racing import World

WORLD: ContextVar[World] = ContextVar("world")
SOON = Retry(delays=[1])


class Order(BaseModel):
    parcels: list[int]
    gift: bool = False


class Yes(BaseModel):
    by: str


class Load(BaseModel):
    parcels: int


class Receipt(BaseModel):
    number: int


delivery = Saga("delivery", input=Load, result=Receipt)


@delivery.step("van", timeout=5, retry=SOON)
async def rent(load: Load, context: Context) -> int:
    await WORLD.get().act(context)
    return load.parcels


@rent.undo(retry=SOON, timeout=5)
async def give_back(result: int | None, context: Context) -> None:
    await WORLD.get().act(context, undo=True)


@delivery.step("receipt", timeout=5, retry=SOON)
async def write_receipt(van: int, context: Context) -> Receipt:
    await WORLD.get().act(context)
    return Receipt(number=van)


order = Saga("order", input=Order, deadline=900)


@order.step("load", timeout=5, retry=SOON)
async def take(order: Order, context: Context) -> Load:
    await WORLD.get().act(context)
    return Load(parcels=len(order.parcels))


@take.undo(retry=SOON, timeout=5)
async def put_back(result: Load | None, context: Context) -> None:
    await WORLD.get().act(context, undo=True)


approval = order.wait("approval", model=Yes, timeout=40, on_timeout="continue", after=[take])
breath = order.sleep("breath", 2, after=[approval])


@order.step("labels", each="input.parcels", concurrency=2, item_failure="leave_out", timeout=5, retry=SOON,
            after=[approval])  # fmt: skip
async def print_label(item: int, context: Context) -> int:
    await WORLD.get().act(context)
    return item


@print_label.undo(retry=SOON, timeout=5)
async def void_label(result: int | None, context: Context) -> None:
    await WORLD.get().act(context, undo=True)


@order.step("books", timeout=5, retry=SOON, after=[breath])
async def enter(order: Order, transaction: Transaction, context: Context) -> int:
    await WORLD.get().act(context, ledger=False)
    return 1


@enter.undo(retry=SOON, timeout=5)
async def strike_out(transaction: Transaction, context: Context) -> None:
    await WORLD.get().act(context, ledger=False)


carried = order.start("carried", delivery, input="load", after=[approval])


@order.step("charge", pivot=True, timeout=5, retry=SOON)
async def charge(labels: list[int | None], books: int, carried: Receipt, context: Context) -> int:
    await WORLD.get().act(context)
    return 7


@charge.probe
async def find_charge(context: Context) -> Happened[int] | DidNotHappen | CannotTell:
    world = WORLD.get()
    if world.is_troubled(context.step):
        return CannotTell("nobody answers")
    return Happened(7) if (context.saga_id, context.step, context.item) in world.done else DidNotHappen()


@order.step("mail", timeout=5, retry=SOON)
async def send_mail(charge: int, context: Context) -> None:
    await WORLD.get().act(context)


@order.step("note", when="input.gift", timeout=5, retry=SOON)
async def write_note(charge: int, transaction: Transaction, context: Context) -> str:
    await WORLD.get().act(context, ledger=False)
    return "thanks"


simple = Saga("simple", input=Order)


@simple.step("first", timeout=5, retry=SOON)
async def first(order: Order, context: Context) -> int:
    await WORLD.get().act(context)
    return 1


@first.undo(retry=SOON, timeout=5)
async def undo_first(result: int | None, context: Context) -> None:
    await WORLD.get().act(context, undo=True)


@simple.step("second", timeout=5, retry=SOON)
async def second(first: int, context: Context) -> int:
    await WORLD.get().act(context)
    return 2


@second.undo(retry=SOON, timeout=5)
async def undo_second(result: int | None, context: Context) -> None:
    await WORLD.get().act(context, undo=True)


@simple.step("third", timeout=5, retry=SOON)
async def third(second: int, context: Context) -> int:
    await WORLD.get().act(context)
    return 3


SAGAS = (order, delivery, simple)

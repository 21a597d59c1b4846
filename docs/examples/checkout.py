"""Reserve, ask a person, wait out the cooling-off hour, take the money, ship."""

from decimal import Decimal

from pydantic import BaseModel

from amends import CannotTell, Context, DidNotHappen, Happened, Permanent, Retry, Saga, days, hours


class Parcel(BaseModel):
    weight: int


class Order(BaseModel):
    id: str
    total: Decimal
    parcels: list[Parcel]
    gift: bool = False


class Reservation(BaseModel):
    id: str


class Approval(BaseModel):
    yes: bool
    by: str


class Charge(BaseModel):
    id: str


class Label(BaseModel):
    url: str


class Note(BaseModel):
    text: str


class StockClient:
    async def reserve(self, order: str, key: str) -> str:
        raise NotImplementedError

    async def release(self, key: str) -> None: ...


class Payments:
    async def charge(self, amount: Decimal, key: str) -> str:
        raise NotImplementedError

    async def find(self, key: str) -> str | None:
        raise NotImplementedError


checkout = Saga("checkout", input=Order, deadline=days(3), resources=[StockClient, Payments])


@checkout.step("reservation", timeout=10, retry=Retry(delays=[1, 5, 30]))
async def reserve(order: Order, stock: StockClient, context: Context) -> Reservation:
    return Reservation(id=await stock.reserve(order.id, context.idempotency_key))


@reserve.undo
async def release(result: Reservation | None, stock: StockClient, context: Context) -> None:
    await stock.release(context.step_key)


approval = checkout.wait("approval", model=Approval, timeout=days(2), on_timeout="compensate", after=[reserve])


@checkout.step("approved")
async def check_approval(approval: Approval) -> None:
    if not approval.yes:
        raise Permanent(f"refused by {approval.by}")


cooling_off = checkout.sleep("cooling_off", hours(1), after=[check_approval])


@checkout.step("charge", pivot=True, after=[cooling_off], timeout=20)
async def take_money(order: Order, reservation: Reservation, payments: Payments, context: Context) -> Charge:
    return Charge(id=await payments.charge(order.total, context.idempotency_key))


@take_money.probe
async def find_charge(payments: Payments, context: Context) -> Happened[Charge] | DidNotHappen | CannotTell:
    found = await payments.find(context.step_key)
    return Happened(Charge(id=found)) if found else DidNotHappen()


@checkout.step("labels", after=[take_money], each="input.parcels", queue="shipping")
async def print_label(item: Parcel) -> Label:
    return Label(url=f"https://labels/{item.weight}")


@checkout.step("gift_note", when="input.gift")
async def write_gift_note(order: Order, labels: list[Label]) -> Note:
    return Note(text=f"{len(labels)} parcels")


@write_gift_note.fallback
async def plain_note(order: Order) -> Note:
    return Note(text="A gift")

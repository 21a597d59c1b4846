"""A new colleague: accounts now, a laptop by a child saga, badge on the first day."""

from datetime import datetime

from pydantic import BaseModel

from amends import CannotTell, Context, DidNotHappen, Happened, Retry, Saga, days


class LaptopRequest(BaseModel):
    model: str
    office: str


class Laptop(BaseModel):
    serial: str


class Hire(BaseModel):
    name: str
    office: str
    first_day: datetime


class Account(BaseModel):
    login: str


class Signature(BaseModel):
    signed_by: str


class Badge(BaseModel):
    number: int


class Directory:
    async def create(self, name: str, key: str) -> str:
        raise NotImplementedError

    async def disable(self, key: str) -> None: ...


provision = Saga("provision", input=LaptopRequest, result=Laptop)


@provision.step("laptop", timeout=days(5))
async def order_laptop(request: LaptopRequest) -> Laptop:
    return Laptop(serial="X1")


@order_laptop.undo
async def return_laptop(result: Laptop | None) -> None: ...


onboarding = Saga("onboarding", input=Hire, resources=[Directory])


@onboarding.step("account")
async def create_account(hire: Hire, directory: Directory, context: Context) -> Account:
    return Account(login=await directory.create(hire.name, context.idempotency_key))


@create_account.undo
async def disable_account(result: Account | None, directory: Directory, context: Context) -> None:
    await directory.disable(context.step_key)


@onboarding.step("laptop_request")
async def choose_laptop(hire: Hire) -> LaptopRequest:
    return LaptopRequest(model="light", office=hire.office)


laptop = onboarding.start("laptop", provision, input="laptop_request")
signature = onboarding.wait(
    "signature", model=Signature, timeout=days(14), on_timeout="compensate", after=[create_account]
)
first_day = onboarding.sleep_until("first_day", "input.first_day", after=[laptop, signature])


@onboarding.step("badge", pivot=True, after=[first_day], retry=Retry(delays=[60, 3600]))
async def issue_badge(hire: Hire, account: Account, laptop: Laptop) -> Badge:
    return Badge(number=7)


@issue_badge.probe
async def find_badge(hire: Hire) -> Happened[Badge] | DidNotHappen | CannotTell:
    return CannotTell("the badge office has no API: an operator must look")

"""The sagas that are measured: four steps that do nothing, and one that is undone after two of them."""

from pydantic import BaseModel

from amends import Permanent, Saga

FORWARD, COMPENSATING = "forward", "compensating"
WORKLOADS = (FORWARD, COMPENSATING)
STEPS = {FORWARD: 4, COMPENSATING: 5}
"""Handlers that run for one saga, undos among them."""


class Payload(BaseModel):
    """What a saga is given, and every step gives back."""

    text: str


forward = Saga(FORWARD, input=Payload)


@forward.step("first")
async def first(request: Payload) -> Payload:
    """Do nothing."""
    return request


@forward.step("second")
async def second(first: Payload) -> Payload:
    """Do nothing."""
    return first


@forward.step("third")
async def third(second: Payload) -> Payload:
    """Do nothing."""
    return second


@forward.step("fourth")
async def fourth(third: Payload) -> Payload:
    """Do nothing."""
    return third


compensating = Saga(COMPENSATING, input=Payload)


@compensating.step("first")
async def take_first(request: Payload) -> Payload:
    """Do nothing."""
    return request


@take_first.undo
async def give_first_back(request: Payload) -> None:
    """Do nothing."""


@compensating.step("second")
async def take_second(first: Payload) -> Payload:
    """Do nothing."""
    return first


@take_second.undo
async def give_second_back(request: Payload) -> None:
    """Do nothing."""


@compensating.step("third")
async def fail(second: Payload) -> Payload:
    """Fail for good."""
    raise Permanent("there is none left")


@compensating.step("fourth")
async def never(third: Payload) -> Payload:
    """Do nothing; never reached."""
    return third

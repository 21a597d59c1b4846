"""A small saga with a result."""

from pydantic import BaseModel

from amends import Permanent, Saga


class Number(BaseModel):
    n: int


class Doubled(BaseModel):
    doubled: int


doubling = Saga("doubling", input=Number, result=Doubled)


@doubling.step("out")
async def double(request: Number) -> Doubled:
    if request.n < 0:
        raise Permanent("negative")
    return Doubled(doubled=2 * request.n)

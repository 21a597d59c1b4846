"""`Given`: one for a whole result, one for each item under `each` (def_R17)."""

import pytest
from pydantic import BaseModel

from amends import Given, Permanent, Retry, Saga
from amends.testing import run
from tests.unit.definition.test_edges import T, saga_of
from tests.unit.definition.test_messages import message_of


class H(BaseModel):
    n: int


class Out(BaseModel):
    values: list[int]
    fallback: bool = False


def test_a_list_without_each_comes_with_one_given() -> None:
    s = Saga("t", input=T, result=Out)

    @s.step("h", retry=Retry(delays=[]))
    async def h(request: T) -> list[int]:
        raise Permanent("no")

    @h.fallback
    async def hf(request: T) -> list[int]:
        return [1, 2]

    @s.step("f")
    async def f(h: Given[list[int]]) -> Out:
        return Out(values=h.value, fallback=h.fallback)

    assert run(s, T()).result == Out(values=[1, 2], fallback=True)


def test_a_list_of_lists_under_each_comes_with_a_given_for_each_item() -> None:
    s = Saga("t", input=T, result=Out)

    @s.step("h", each="input.l")
    async def h(item: int) -> list[int]:
        return [item, item]

    @s.step("f")
    async def f(h: list[Given[list[int]]]) -> Out:
        return Out(values=[n for one in h for n in one.value])

    assert run(s, T()).result == Out(values=[1, 1, 2, 2])


def test_each_and_when_together() -> None:
    s = Saga("t", input=T, result=Out)

    @s.step("h", each="input.l", when="input.flag")
    async def h(item: int) -> H:
        return H(n=item)

    @s.step("f")
    async def f(h: list[Given[H]] | None) -> Out:
        return Out(values=[] if h is None else [one.value.n for one in h])

    assert run(s, T()).result == Out(values=[])
    assert run(s, T(flag=True)).result == Out(values=[1, 2])


@pytest.mark.parametrize("each", [None, "input.l"])
def test_the_wrong_one_is_refused_with_the_right_one(each: str | None) -> None:
    def declare() -> None:
        s = saga_of()

        @s.step("h", each=each)
        async def h(request: T) -> list[int]:
            return []

        if each is None:

            @s.step("f")
            async def f(h: list[Given[int]]) -> None: ...
        else:

            @s.step("g")
            async def g(h: Given[list[list[int]]]) -> None: ...

    remedy = "h: Given[list[int]]" if each is None else "h: list[Given[list[int]]]"
    assert f"remedy: annotate `{remedy}`" in message_of(declare)


def test_the_remedy_for_a_step_that_may_be_skipped_keeps_given() -> None:
    def declare() -> None:
        s = saga_of()

        @s.step("h", when="input.flag")
        async def h(request: T) -> H:
            return H(n=1)

        @s.step("f")
        async def f(h: Given[H]) -> None: ...

    assert message_of(declare).endswith("remedy: annotate `h: Given[H | None]`")

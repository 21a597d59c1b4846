"""What `describe` and `check` show, what messages say, and what a step is to Python's own tools."""

import asyncio
import inspect
import sys
import typing
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Breaker, CannotTell, DidNotHappen, Happened, Permanent, Retry, Saga, days
from amends.testing import run
from sagas.describe import describe, warnings
from sagas.durations import age
from tests.unit.definition.test_edges import T, saga_of
from tests.unit.definition.test_messages import graph_message_of, message_of


class Itin(BaseModel):
    n: int = 1


def test_waits_beside_each_other_do_not_add_up() -> None:
    s = Saga("t", input=T, deadline=days(3))
    first = s.wait("first", model=T, timeout=days(2), on_timeout="continue")
    s.wait("second", model=T, timeout=days(2), on_timeout="continue")
    assert not any("add up" in line for line in warnings(s.seal().manifest))

    s = Saga("t", input=T, deadline=days(3))
    first = s.wait("first", model=T, timeout=days(2), on_timeout="continue")
    s.sleep("second", days(1), after=[first])
    assert any("on one way add up to 3 days, its deadline is 3 days" in line for line in warnings(s.seal().manifest))


def test_describe_shows_conditions_and_breakers() -> None:
    s = saga_of()

    @s.step("a", when="input.flag", unless="input.flag", each="input.l", breaker=Breaker("agents", per="item"))
    async def a(item: int) -> int:
        return item

    text = describe(s.seal())
    assert "only when input.flag and unless input.flag" in text
    assert "breaker agents for each item" in text


def fate_of(fallback: bool, **said: Any) -> str:
    """The last column of a step with these options, which gives an int and is tried twice."""
    made: Any = saga_of()

    async def a(request: T) -> int:
        return 1

    step = made.step("a", retry=Retry(delays=[2]), **said)(a)
    if fallback:

        @step.fallback  # type: ignore[untyped-decorator]
        async def spare(request: T) -> int:
            return 2

    return describe(made.seal()).splitlines()[2].rpartition("  ")[2]


def test_describe_says_in_their_order_what_follows_a_failure() -> None:
    assert fate_of(fallback=False) == "1 retry (2 s); then back"
    assert fate_of(fallback=True) == "1 retry (2 s); then fallback spare; then back"
    assert fate_of(fallback=True, pivot=True) == "1 retry (2 s); then fallback spare; then back. Unknown: an operator"
    each = {"each": "input.l", "item_failure": "leave_out"}
    assert fate_of(fallback=False, **each).endswith("one for each input.l; 1 retry (2 s); then left out")
    assert fate_of(fallback=True, **each).endswith("1 retry (2 s); then fallback spare; then left out")


def test_a_step_for_each_item_that_gives_nothing_and_begins_at_the_start_is_warned_of() -> None:
    for said in ({}, {"when": "input.flag"}):
        s: Any = saga_of()

        async def mail(item: int) -> None: ...
        async def other(request: T) -> int:
            return 1

        s.step("mail", each="input.l", **said)(mail)
        s.step("other")(other)
        assert any("step 'mail' of 't' begins at the start" in line for line in warnings(s.seal().manifest))


def test_describe_shows_how_many_sagas_are_open() -> None:
    s = saga_of()

    @s.step("a")
    async def a(request: T) -> int:
        return 1

    assert describe(s.seal(), 2).splitlines()[0].endswith(" · 2 open")


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (1_036_803, "12 days"), (86_399, "23 hours"), (86_400, "1 day"), (3_661, "1 hour"), (150.7, "2 minutes"),
        (59.9, "59 s"), (0.0, "0 s"),
    ],
)  # fmt: skip
def test_an_age_is_said_in_the_largest_unit_that_fits(seconds: float, says: str) -> None:
    assert age(seconds) == says


def test_a_result_that_may_be_skipped_is_named() -> None:
    s = Saga("t", input=T, result=Itin)

    @s.step("a", when="input.flag")
    async def a(request: T) -> Itin:
        return Itin()

    assert graph_message_of(s.check) == (
        "saga 't' promises result=Itin; steps that give it: none ('a' gives Itin | None: it has `when`, so it may be "
        "skipped); exactly one is needed"
    )


def test_what_pydantic_does_not_take_is_said_in_its_words() -> None:
    class Typed(typing.TypedDict):
        x: int

    class Open(BaseModel):
        later: "Nowhere"  # type: ignore[name-defined] # noqa: F821 # pyright: ignore[reportUndefinedVariable]

    forms: list[tuple[Any, str]] = [(Open, "is not fully defined")]
    if sys.version_info < (3, 12):
        forms.append((Typed, "typing_extensions.TypedDict"))
    for form, says in forms:

        async def a(request: T) -> None: ...

        a.__annotations__["return"] = form
        text = message_of(lambda a=a: saga_of().step("a")(a))  # type: ignore[misc]
        assert says in text
        assert "which pydantic does not take: " in text


def test_a_step_is_a_coroutine_function_and_a_plain_one_is_not() -> None:
    s = saga_of()

    @s.step("a")
    async def a(request: T) -> int:
        return 1

    @s.step("b")
    def b(request: T) -> int:
        raise Permanent("no")

    @b.fallback
    def fb(request: T) -> int:
        return 2

    @a.probe
    def p(request: T) -> Happened[int] | DidNotHappen | CannotTell:
        return DidNotHappen()

    assert (inspect.iscoroutinefunction(a), inspect.iscoroutinefunction(b)) == (True, False)
    assert list(inspect.signature(a).parameters) == ["request"]
    assert asyncio.run(a(T())) == 1
    assert p(T()) == DidNotHappen()


def test_a_plain_fallback_of_a_plain_step_runs() -> None:
    s = saga_of()

    @s.step("b")
    def b(request: T) -> int:
        raise Permanent("no")

    @b.fallback
    def fb(request: T) -> int:
        return 2

    assert run(s, T()).fallbacks == ["b"]

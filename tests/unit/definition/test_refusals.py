"""What else a definition may not say."""

import dataclasses
import typing
from typing import Annotated, Any

import pydantic.dataclasses
import pytest
import typing_extensions
from pydantic import BaseModel, Field

from amends import (
    Context,
    DidNotHappen,
    Happened,
    Saga,
    Transaction,
    days,
)
from sagas.seal import Defaults
from tests.unit.definition.test_messages import Hotel, Trip, message_of, trip


def loosely(saga: Saga[Any, Any], name: str = "a") -> Any:
    """The decorator without types, for handlers that no checker would let through."""
    return saga.step(name)


def test_a_step_without_parentheses_says_so() -> None:
    """def_R1."""

    def declare() -> None:
        saga, _ = trip()
        bare: Any = saga.step

        async def a() -> None: ...

        bare(a)

    assert message_of(declare).startswith("a: write `@trip.step()`")


def test_annotated_any_methods_and_defaults_are_refused() -> None:
    async def annotated(x: Annotated[int, "y"]) -> None: ...
    async def untyped(x: Any) -> None: ...
    async def default(x: int = 1) -> None: ...
    async def many(*x: int) -> None: ...
    async def positional(x: int, /) -> None: ...
    async def method(self: int) -> None: ...

    for function, says in (
        (annotated, "is Annotated"),
        (untyped, "is Any"),
        (default, "has a default"),
        (many, "has no single name"),
        (positional, "has no single name"),
        (method, "not a method"),
    ):
        assert says in message_of(lambda function=function: loosely(trip()[0])(function))  # type: ignore[misc]


def test_what_is_not_annotated_is_refused() -> None:
    space: dict[str, Any] = {}
    exec("async def a(x): ...\nasync def b(): ...", space)
    assert "parameter 'x' has no annotation" in message_of(lambda: loosely(trip()[0])(space["a"]))
    assert "the result has no annotation" in message_of(lambda: loosely(trip()[0])(space["b"]))


def test_a_result_that_cannot_become_json_is_refused() -> None:
    def declare() -> None:
        @trip()[0].step("a")
        async def a() -> typing.IO[str]:
            raise NotImplementedError

    assert "cannot become JSON" in message_of(declare)


def test_an_input_with_a_default_factory_is_refused() -> None:
    class Bad(BaseModel):
        names: list[str] = Field(default_factory=list[str])

    assert "field 'names' of Bad has a default_factory" in message_of(lambda: Saga("bad", input=Bad))


class Leaky(BaseModel):
    city: str = "Lima"
    secret: str = Field("none", exclude=True)


class LeakyAtTimes(BaseModel):
    secret: str = Field("none", exclude_if=lambda value: value == "x")


@pydantic.dataclasses.dataclass
class LeakyData:
    secret: str = Field("none", exclude=True)


@dataclasses.dataclass
class LeakyNote:
    secret: Annotated[str, Field(exclude=True)] = "none"


class LeakyKeys(typing_extensions.TypedDict):
    secret: Annotated[str, Field(exclude=True)]


@pytest.mark.parametrize("form", [Leaky, LeakyAtTimes, LeakyData, LeakyNote, LeakyKeys, list[Leaky], Leaky | None])
def test_a_field_that_is_never_stored_is_refused(form: Any) -> None:
    async def a(request: Trip) -> None: ...

    a.__annotations__["return"] = form
    name = getattr(form, "__name__", "Leaky").replace("list", "Leaky")
    text = message_of(lambda: loosely(trip()[0])(a))
    assert f"its field 'secret' of {name} is excluded, so its value would be lost\n  remedy: " in text


def test_an_input_with_a_field_that_is_never_stored_is_refused() -> None:
    text = message_of(lambda: Saga("bad", input=Leaky))
    assert text.startswith("the input of saga 'bad' is Leaky: its field 'secret' of Leaky is excluded")


def test_a_sealed_saga_takes_no_more_steps() -> None:
    """def_R4."""
    saga, _ = trip()
    saga.check()

    def declare() -> None:
        @saga.step("late")
        async def late() -> None: ...

    assert "saga 'trip' is sealed" in message_of(declare)


def test_a_saga_that_was_checked_takes_the_defaults_of_whoever_runs_it() -> None:
    saga, _ = trip()
    saga.check()
    sealed = saga.seal(Defaults(timeout_seconds=7, delays=(2.0,)))
    handler = sealed.manifest.nodes[0].handler
    assert handler is not None
    assert (handler.timeout, handler.retry.delays) == (7, (2.0,))
    assert saga.seal(Defaults(timeout_seconds=7, delays=(2.0,))) is sealed
    assert saga.seal().manifest.fingerprint != sealed.manifest.fingerprint


def test_a_transaction_may_not_be_declared_longer_than_ten_seconds() -> None:
    def declare() -> None:
        @trip()[0].step("a", timeout=11)
        async def a(transaction: Transaction) -> None: ...

    assert "open transactions hold readers back" in message_of(declare)


def test_names_are_checked() -> None:
    """def_R1."""
    for name in ("Hotel", "item", "result", "input", "start", "x" * 101, "hotel", "a b", ""):
        saga, _ = trip()

        async def a() -> None: ...

        if name:
            assert "remedy: give the step another name" in message_of(lambda: saga.step(name)(a))  # noqa: B023


def test_an_after_of_another_saga_is_refused() -> None:
    _, stranger = trip()
    other = Saga("other", input=Trip)

    def declare() -> None:
        @other.step("a", after=[stranger])
        async def a() -> None: ...

    assert "is no step of saga 'other'" in message_of(declare)


def test_a_wait_that_turns_back_behind_the_pivot_is_refused() -> None:
    def declare() -> None:
        saga = Saga("trip", input=Trip)

        @saga.step("pay", pivot=True)
        async def pay(request: Trip) -> None: ...

        saga.wait("yes", model=Hotel, timeout=days(1), on_timeout="compensate", after=[pay])
        saga.check()

    assert 'say on_timeout="continue"' in message_of(declare)


def test_a_probe_that_always_knows_frees_its_undo_from_none() -> None:
    saga, book_hotel = trip()

    @book_hotel.undo
    async def cancel(result: Hotel, context: Context) -> None: ...

    @book_hotel.probe
    async def find(context: Context) -> Happened[Hotel] | DidNotHappen:
        return DidNotHappen()

    saga.check()

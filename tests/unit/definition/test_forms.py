"""Which type takes the values of which, and which types do not come back from JSON (def_R2, def_R22)."""

import dataclasses
import functools
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar
from uuid import UUID, uuid4

import pytest
from pydantic import AwareDatetime, BaseModel, Field, RootModel, SecretStr, create_model, field_serializer
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from amends import Saga
from amends.testing import run
from sagas.forms import accepts, type_name
from tests.unit.definition.test_edges import T, saga_of
from tests.unit.definition.test_messages import graph_message_of, message_of

Id = NewType("Id", str)
V = TypeVar("V")


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
ACCEPTED: list[tuple[Any, Any]] = [
    (int, Annotated[int, Field(gt=0)]),
    (list[int], list[Annotated[int, Field(gt=0)]]),
    (Cat | Dog, Pet),
    (Pet, Cat),
    (str, Literal["x"]),
    (Literal["x", "y"], Literal["x"]),
    (str | None, Literal["x", None]),
    (str, Id),
    (float, int),
    (list[float], list[int]),
    (Sequence[int], list[int]),
    (Sequence[int], tuple[int, ...]),
    (Mapping[str, int], dict[str, int]),
    (dict[str, Any], dict[str, int]),
    (list, list[int]),
    (datetime, AwareDatetime),
    (tuple[int, str], tuple[int, str]),
]
REFUSED: list[tuple[Any, Any]] = [
    (Literal["x"], Literal["x", "y"]),
    (Literal["x"], str),
    (int, Literal["x"]),
    (Id, str),
    (int, float),
    (list[int], Sequence[int]),
    (list[int], list[float]),
    (date, datetime),
    (date, AwareDatetime),
    (Cat, Pet),
    (Sequence[str], str),
    (tuple[int, str], tuple[int, ...]),
    (list[int], list),
]


@pytest.mark.parametrize(("wanted", "given"), ACCEPTED, ids=repr)
def test_def_r2_every_value_fits(wanted: Any, given: Any) -> None:
    assert accepts(wanted, given)


@pytest.mark.parametrize(("wanted", "given"), REFUSED, ids=repr)
def test_def_r2_not_every_value_fits(wanted: Any, given: Any) -> None:
    assert not accepts(wanted, given)


def test_types_are_shown_as_people_write_them() -> None:
    assert type_name(Pet) == "Cat | Dog"
    assert type_name(list[Annotated[int, Field(gt=0)]]) == "list[int]"
    assert type_name(Literal["x", "y"]) == "Literal['x', 'y']"


def test_constrained_results_are_taken_by_their_plain_type() -> None:
    s = Saga("t", input=T, result=T)

    @s.step("h")
    async def h(request: T) -> Annotated[int, Field(gt=0)]:
        return 4

    @s.step("pets")
    async def pets(request: T) -> list[Pet]:
        return [Dog()]

    @s.step("out")
    async def out(h: float, pets: Sequence[Cat | Dog]) -> T:
        assert list(pets) == [Dog()]
        return T(l=[int(h)])

    assert run(s, T()).result == T(l=[4])


def test_what_no_value_can_be_read_as_is_refused() -> None:
    def declare() -> None:
        s = saga_of()

        @s.step("h")
        async def h(request: T) -> list[int]:
            return []

        @s.step("f")
        async def f(h: Collection[int]) -> None: ...

    assert "cannot become JSON" in message_of(declare)


class Hidden(BaseModel):
    password: SecretStr


@pytest.mark.parametrize("form", [SecretStr, type[int], list[SecretStr], Hidden, dict[str, Hidden]])
def test_what_does_not_come_back_from_json_is_refused(form: Any) -> None:
    def declare() -> None:
        async def a(request: T) -> None: ...

        a.__annotations__["return"] = form
        saga_of().step("a")(a)

    assert "does not come back from JSON" in message_of(declare)


class Sub(BaseModel):
    id: UUID = Field(default_factory=uuid4)


@dataclasses.dataclass
class Inside:
    ids: list[int] = dataclasses.field(default_factory=list[int])


@pydantic_dataclass
class Filled:
    ids: list[int] = Field(default_factory=list[int])


FILLED: list[tuple[Any, str]] = [
    (Sub, "field 'id' of Sub"),
    (list[Sub] | None, "field 'id' of Sub"),
    (dict[str, list[Sub]], "field 'id' of Sub"),
    (Inside, "field 'ids' of Inside"),
    (Filled, "field 'ids' of Filled"),
]


@pytest.mark.parametrize(("form", "says"), FILLED)
def test_def_r22_a_default_factory_anywhere_in_an_input_is_refused(form: Any, says: str) -> None:
    made = create_model("A", s=(form, ...))
    assert f"{says} has a default_factory" in message_of(lambda: Saga("t", input=made))


def test_def_r22_a_default_factory_of_a_pydantic_dataclass_is_refused() -> None:
    assert "field 'ids' of Filled has a default_factory" in message_of(lambda: Saga("t", input=Filled))


class Typed(TypedDict):
    x: bool
    items: list[int]


@dataclasses.dataclass
class Generic1(Generic[V]):
    value: V
    many: list[V]


class Rooted(RootModel[list[int]]): ...


class Written(BaseModel):
    on: bool = True
    off: bool = True

    @field_serializer("on")
    def as_text(self, on: bool) -> str:
        return str(on)


class Paths(BaseModel):
    typed: Typed
    made: Generic1[bool]
    rooted: Rooted
    written: Written


def test_def_r27_paths_follow_what_is_stored() -> None:
    def declare(**said: str) -> Callable[[], object]:
        async def a(request: Paths) -> None: ...

        step: Any = Saga("t", input=Paths).step
        return lambda: step("a", **said)(a)

    declare(when="input.typed.x")()
    declare(each="input.typed.items")()
    declare(when="input.made.value")()
    declare(each="input.made.many")()
    declare(when="input.written.off")()
    assert "Rooted has no field 'root', it has no fields" in graph_message_of(declare(each="input.rooted.root"))
    assert "Written has no field 'on'; it has off" in graph_message_of(declare(when="input.written.on"))


def test_a_generic_dataclass_may_be_an_input() -> None:
    s = Saga("t", input=Generic1[int])

    @s.step("h", each="input.many")
    async def h(item: int, request: Generic1[int]) -> int:
        return item + request.value

    assert run(s, Generic1(value=1, many=[2])).ran == ["h"]


def traced(function: Callable[[T], Awaitable[int]]) -> Callable[[T], Awaitable[int]]:
    @functools.wraps(function)
    def around(request: T) -> Awaitable[int]:
        return function(request)

    return around


def test_a_plain_wrapper_of_a_coroutine_function_is_awaited() -> None:
    s = saga_of()
    step: Any = s.step("h")

    async def h(request: T) -> int:
        return 3

    step(traced(h))
    done = run(s, T())
    assert (done.status, done.ran) == ("completed", ["h"])

"""What a saga refuses as it is declared: each error says where, what was expected, and a remedy."""

import functools
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, PlainSerializer, WrapSerializer

from amends import Given, InputError, Saga, days
from amends.testing import run
from sagas.forms import accepts
from tests.unit.definition.test_edges import T, saga_of
from tests.unit.definition.test_messages import graph_message_of, message_of


async def nothing(request: T) -> None: ...


def piloted(*, undone: bool = False) -> tuple[Any, Any]:
    """A saga with a pivot."""
    s: Any = saga_of()
    pivot = s.step("pay", pivot=True)(nothing)
    if undone:

        @pivot.undo  # type: ignore[untyped-decorator]
        async def give_back() -> None: ...

    return s, pivot


def two_pivots() -> None:
    s, pivot = piloted()
    s.step("ship", pivot=True, after=[pivot])(nothing)
    s.check()


def waits_behind() -> None:
    s, pivot = piloted()
    s.wait("yes", model=T, timeout=days(1), on_timeout="compensate", after=[pivot])
    s.check()


def undone_twice() -> None:
    step: Any = saga_of().step("a")(nothing)

    async def undo() -> None: ...

    step.undo(undo)
    step.undo(undo)


def declared_twice() -> None:
    s: Any = saga_of()
    s.step("a")(nothing)
    s.step("a")(nothing)


def after_a_namesake() -> None:
    s: Any = saga_of()
    other: Any = saga_of()
    s.step("a")(nothing)
    s.step("b", after=[other.step("a")(nothing)])(nothing)


def sealed() -> Any:
    s: Any = saga_of()
    step = s.step("a")(nothing)
    s.check()
    return s, step


def own_parameter() -> None:
    async def take(trip: T) -> int:
        return 1

    step: Any = saga_of().step("trip")
    step(take)


def namesakes() -> object:
    return Saga("t", input=T, resources=[type("Client", (), {}), type("Client", (), {})])


def step(**said: Any) -> Callable[[], object]:
    made: Any = saga_of().step
    return lambda: made("a", **said)(nothing)


def role(name: str, **options: Any) -> Callable[[], object]:
    def declare() -> None:
        made: Any = saga_of().step("a")(nothing)
        getattr(made, name)(**options)

    return declare


WRONG: list[tuple[Callable[[], object], str]] = [
    (step(pivot=True, each="input.l"), "nothing: step 'a' is a pivot and has `each`: nobody could undo half of it"),
    (two_pivots, "nothing: saga 't' has more than one pivot: 'pay' (test_places.py:"),
    (lambda: piloted(undone=True)[0].check(), "give_back: step 'pay' is the pivot and has an undo"),
    (waits_behind, "wait 'yes' turns back when nobody answers, but comes behind the pivot 'pay'"),
    (undone_twice, "undo: step 'a' has an undo already, at test_places.py:"),
    (declared_twice, "nothing: saga 't' has a step 'a' already, at test_places.py:"),
    (lambda: saga_of().sleep("item", 1), "'item' is reserved"),
    (lambda: saga_of().sleep("Item", 1), "'Item' is no name for a step"),
    (lambda: Saga("T", input=T), "'T' is no name for a saga"),
    (lambda: saga_of().check(), "saga 't' has no step"),
    (after_a_namesake, "nothing: after of 'b': <step a> is no step of saga 't'"),
    (lambda: sealed()[0].sleep("later", 1), "saga 't' is sealed"),
    (lambda: sealed()[1].undo(nothing), "nothing: saga 't' is sealed"),
    (own_parameter, "take: parameter 'trip' of step 'trip': 'trip' is what the step itself gives"),
    (step(concurrency=2), "nothing: concurrency=2 of step 'a': only a step with `each` has items"),
    (
        step(item_failure="leave_out"),
        "nothing: item_failure='leave_out' of step 'a': only a step with `each` has items",
    ),
    (role("probe"), "the probe of 'a' takes no options"),
    (role("fallback"), "the fallback of 'a' takes no options"),
    (role("fallback", timeout=3), "the fallback of 'a' takes no options"),
    (lambda: Saga("t", input=int), "the input of saga 't' is int"),
]


@pytest.mark.parametrize(("declare", "says"), WRONG, ids=[says[:40] for _, says in WRONG])
def test_an_error_says_where_it_is_and_what_to_do(declare: Callable[[], object], says: str) -> None:
    text = message_of(declare)
    assert text.startswith(says), text
    assert "\n  remedy: " in text


def test_def_r5_two_resource_types_of_one_name_are_refused() -> None:
    text = message_of(namesakes)
    assert "of saga 't': two types are called Client: in " in text
    assert "remedy: rename one of them" in text


def test_the_remedy_of_options_that_are_not_taken_is_the_right_spelling() -> None:
    assert "remedy: write `@nothing.fallback` without parentheses" in message_of(role("fallback", timeout=3))


@pytest.mark.parametrize(
    ("annotation", "said", "right"),
    [
        (Given[int] | None, {}, "h: Given[int]"),
        (Given[int] | None, {"when": "input.flag"}, "h: Given[int | None]"),
        (Given[int], {"when": "input.flag"}, "h: Given[int | None]"),
        (list[Given[int] | None], {"each": "input.l", "item_failure": "leave_out"}, "h: list[Given[int | None]]"),
    ],
)
def test_def_r17_the_remedy_keeps_the_given(annotation: Any, said: Any, right: str) -> None:
    def declare() -> None:
        s: Any = saga_of()

        async def gives() -> int:
            return 1

        async def takes(h: int) -> None: ...

        takes.__annotations__["h"] = annotation
        s.step("h", **said)(gives)
        s.step("f")(takes)

    assert f"remedy: annotate `{right}`" in message_of(declare)


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int = 1


class Same(Closed):
    """Adds nothing that is stored."""


class More(Closed):
    m: int = 2


def test_a_model_that_takes_no_other_fields_takes_no_subclass_that_has_some() -> None:
    assert accepts(Closed, Same)
    assert not accepts(Closed, More)
    assert not accepts(list[Closed], list[More])
    assert accepts(BaseModel, More)


class Written(BaseModel):
    plain: Annotated[bool, PlainSerializer(lambda value: not value)] = False
    wrapped: Annotated[list[int], WrapSerializer(lambda value, write: len(value))] = []
    perhaps: Annotated[int, PlainSerializer(str)] | None = None
    flag: bool = False


@pytest.mark.parametrize("path", ["plain", "perhaps"])
def test_def_r27_a_field_that_writes_itself_is_on_no_path(path: str) -> None:
    s: Any = Saga("t", input=Written)

    async def a() -> None: ...

    text = graph_message_of(lambda: s.step("a", when=f"input.{path}")(a))
    assert f"Written has no field '{path}'; it has flag" in text
    s.step("a", when="input.flag")(a)
    assert "has no field 'wrapped'" in graph_message_of(lambda: s.step("b", each="input.wrapped")(a))


class Raw(BaseModel):
    data: bytes


def test_bytes_that_are_no_text_are_refused_in_words() -> None:
    s = Saga("t", input=Raw)

    @s.step("a")
    async def a(request: Raw) -> Raw:
        return Raw(data=b"\xff")

    with pytest.raises(InputError, match="bytes that are no UTF-8: give them as text, such as base64"):
        s.seal().normalise(Raw(data=b"\xff"))
    done = run(s, Raw(data=b"text"))
    assert (done.status, len(done.ran)) == ("compensated", 0)
    assert "result of a: holds bytes that are no UTF-8" in str(done)
    assert str(done).count("StepScheduled") == 1, "it is final"


def test_a_wrapper_that_has_awaited_itself_gives_its_result() -> None:
    """`functools.wraps` makes a plain function look like the coroutine function that it wraps."""

    def at_once(function: Callable[[T], Awaitable[int]]) -> Callable[[T], int]:
        @functools.wraps(function)
        def around(request: T) -> int:
            return 7

        return around

    async def h(request: T) -> int:
        return 3

    s = saga_of()
    made: Any = s.step("h")
    made(at_once(h))
    done = run(s, T())
    assert (done.status, done.ran) == ("completed", ["h"])

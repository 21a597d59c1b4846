"""What a declaration says besides its function is checked: not all users run a checker."""

import functools
import math
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from pydantic import AwareDatetime, BaseModel, NaiveDatetime

from amends import Breaker, CannotTell, DefinitionError, DidNotHappen, Happened, Retry, Saga, Transaction, days
from sagas.errors import InputError
from sagas.manifest import RetryPolicy
from tests.unit.definition.test_edges import T, saga_of
from tests.unit.definition.test_messages import graph_message_of, message_of

SEVERE: list[tuple[str, Any]] = [
    ("priority", "urgent"),
    ("item_failure", "bogus"),
    ("queue", "a\x00b"),
    ("queue", ""),
    ("queue", "a b"),
    ("queue", "{x}"),
    ("queue", "q" * 101),
    ("queue", 5),
    ("concurrency", 1.5),
    ("concurrency", 0),
    ("concurrency", "3"),
    ("timeout", "10"),
    ("timeout", -1),
    ("timeout", 0),
    ("timeout", math.nan),
    ("timeout", 1e12),
    ("timeout", 10**400),
    ("schedule_timeout", 0),
    ("heartbeat_timeout", True),
    ("retry", [1, 2]),
    ("breaker", "x"),
    ("when", True),
    ("unless", 1),
    ("each", ["input.l"]),
    ("pivot", "yes"),
]


@pytest.mark.parametrize(("field", "value"), SEVERE, ids=lambda value: repr(value)[:20])
def test_an_option_of_a_step_is_refused_by_name_with_a_remedy(field: str, value: Any) -> None:
    def declare() -> None:
        step: Any = saga_of().step

        async def first(request: T) -> None: ...

        step(**{field: value})(first)

    text = message_of(declare)
    assert text.startswith(f"first: {field}=")
    assert " 'first': " in text
    assert "\n  remedy: " in text
    assert len(text) < 400


def test_a_queue_may_have_digits_and_dashes() -> None:
    for queue in ("shipping", "task-assignment", "phase1_tasks", "q" * 100):

        @saga_of().step("a", queue=queue)
        async def a(request: T) -> None: ...


def test_the_first_name_of_a_step_and_its_after_are_checked() -> None:
    s: Any = saga_of()

    async def a(request: T) -> None: ...

    assert "5 is no name for a step" in message_of(lambda: s.step(5)(a))
    assert "after=None of 'a': a list is needed" in message_of(lambda: s.step("a", after=None)(a))
    assert "'h' is no step of saga 't'" in message_of(lambda: s.step("a", after=["h"])(a))


def test_waits_sleeps_and_sagas_are_checked_alike() -> None:
    made: Any = Saga
    s: Any = saga_of()
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: s.wait("w", model=T, timeout=-1, on_timeout="continue"), "timeout=-1 of wait 'w'"),
        (lambda: s.wait("w", model=T, timeout=0, on_timeout="continue"), "timeout=0 of wait 'w'"),
        (lambda: s.wait("w", model=T, timeout=1, on_timeout="bogus"), "on_timeout='bogus' of wait 'w'"),
        (lambda: s.sleep("n", -3), "length=-3 of sleep 'n'"),
        (lambda: s.sleep_until("n", 3), "moment=3 of sleep_until 'n'"),
        (lambda: s.start("k", "t", input="input"), "child='t' of child 'k'"),
        (lambda: made("t", input=T, deadline=-1), "deadline=-1 of saga 't'"),
        (lambda: made("t", input=T, deadline=0), "deadline=0 of saga 't'"),
        (lambda: made("t", input=T, resources=[T()]), "of saga 't': it is no type"),
        (lambda: made("T!", input=T), "'T!' is no name for a saga"),
    ]
    for declare, says in wrong:
        text = message_of(declare)
        assert says in text
        assert "remedy: " in text


untyped: Any = Retry


@pytest.mark.parametrize(
    "declare",
    [
        lambda: untyped(delays=5),
        lambda: untyped(delays="15"),
        lambda: untyped(base=1, multiplier="2"),
        lambda: untyped(base=1, jitter="much"),
        lambda: untyped(base=1, max_attempts=2.5),
        lambda: untyped(base=1, delays=[1]),
        lambda: untyped(max_attempts=2),
        lambda: untyped(delays=[1], max_attempts=9),
        lambda: untyped(delays=[1], multiplier=5),
        lambda: untyped(delays=[1], cap=5),
        lambda: untyped(cap=5, forever=True),
        lambda: Retry(base=1, multiplier=math.nan),
        lambda: Retry(base=1, multiplier=0.5),
        lambda: Retry(base=1, max_attempts=0),
        lambda: Retry(delays=[1e12]),
        lambda: Retry(delays=[-1]),
        lambda: Retry(delays=[], forever=True),
        lambda: Retry(delays=[1] * 1001),
        lambda: Retry(base=1, jitter=math.nan),
        lambda: Breaker("x", failures=0),
        lambda: Breaker("x", open_for=-1),
    ],
)
def test_retries_and_breakers_say_where_they_stand(declare: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError, match=r"^test_options\.py:\d+: [\s\S]*\n  remedy: "):
        declare()


def test_req_x35_growing_delays_have_jitter_and_listed_ones_do_not() -> None:
    assert Retry(base=1).policy == RetryPolicy((1.0, 2.0, 4.0), jitter=0.5)
    assert Retry(base=1, jitter=0).policy.jitter == 0
    assert Retry(delays=[1]).policy == RetryPolicy((1.0,))
    assert Retry(delays=[1], jitter=0.1).policy.jitter == 0.1
    assert Retry().policy == RetryPolicy()


class Client:
    def book(self, request: T) -> None: ...

    @classmethod
    def make(cls, request: T) -> None: ...

    async def __call__(self, request: T) -> None: ...


async def booked(request: T, more: int) -> None: ...


def counted(request: T) -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (functools.partial(booked, more=1), "a handler is a function, not partial"),
        (Client(), "a handler is a function, not Client"),
        (Client, "a handler is a function, not type"),
        (print, "a handler is a function, not builtin_function_or_method"),
        (Client().book, "not a method"),
        (Client.make, "not a method"),
        (counted, "it has a `yield`"),
    ],
)
def test_def_r20_what_is_no_function_is_refused(handler: Any, says: str) -> None:
    text = message_of(lambda: saga_of().step("a")(handler))
    assert says in text
    assert "remedy: " in text


def test_a_plain_def_has_no_use_for_a_transaction() -> None:
    def declare() -> None:
        @saga_of().step("a")
        def a(transaction: Transaction) -> None: ...

    assert "remedy: write it with `async def`" in message_of(declare)


def test_an_annotation_that_is_not_there_is_said_by_name() -> None:
    space: dict[str, Any] = {}
    exec("from __future__ import annotations\nimport math\nasync def a() -> math.Nope: ...", space)
    assert "the annotation 'Nope' has no value at run time" in message_of(lambda: saga_of().step("a")(space["a"]))


def test_def_r25_a_probe_answers_with_what_its_step_gives() -> None:
    def declare() -> None:
        step: Any = saga_of().step("a")

        async def a(request: T) -> str:
            return ""

        @step(a).probe  # type: ignore[untyped-decorator]
        async def p() -> Happened[int] | DidNotHappen | CannotTell:
            return DidNotHappen()

    assert "remedy: annotate `-> Happened[str] | DidNotHappen | CannotTell`" in message_of(declare)


def test_def_r19_the_path_of_a_breaker_leads_somewhere() -> None:
    def declare(per: str, each: str | None = None) -> Callable[[], object]:
        async def a(request: T) -> None: ...

        return lambda: saga_of().step("a", each=each, breaker=Breaker("b", per=per))(a)

    assert "T has no field 'nope'" in graph_message_of(declare("input.nope"))
    assert "only a step with `each` has items" in graph_message_of(declare("item"))
    assert "'nobody' is neither `input` nor a step above" in graph_message_of(declare("nobody"))
    declare("item", "input.l")()
    declare("input.flag")()


def test_def_r7_a_moment_has_a_time_zone() -> None:
    class When(BaseModel):
        aware: AwareDatetime
        naive: NaiveDatetime

    s = Saga("t", input=When)
    s.sleep_until("one", "input.aware")
    assert "a datetime with a time zone is needed" in graph_message_of(lambda: s.sleep_until("two", "input.naive"))


def test_def_r7_a_moment_without_a_time_zone_is_refused_where_it_comes_in() -> None:
    class When(BaseModel):
        at: datetime | None = None
        other: datetime | None = None

    s = Saga("t", input=When)
    s.sleep_until("pause", "input.at")
    said = s.wait("said", model=When, timeout=60, on_timeout="continue")
    s.sleep_until("again", "said.at", after=[said])
    sealed = s.seal()
    with pytest.raises(
        InputError, match=r"field 'at': 'pause' waits for it, so it needs a time zone.*2026-01-01T09:00:00Z"
    ):
        sealed.normalise({"at": "2026-01-01T09:00:00"})
    with pytest.raises(InputError, match="field 'at': 'again' waits for it"):
        sealed.normalise_value("said", When(at=datetime(2026, 1, 1, 9)))  # noqa: DTZ001
    sealed.normalise({"at": "2026-01-01T09:00:00+02:00", "other": "2026-01-01T09:00:00"})
    sealed.normalise({"at": None})


def test_a_saga_is_no_child_of_itself() -> None:
    one, other = saga_of(), Saga("other", input=T)
    assert "it would start <saga t> again, without end" in message_of(lambda: one.start("k", one, input="input"))
    one.start("k", other, input="input")
    assert "without end" in message_of(lambda: other.start("k", one, input="input"))


def test_sealing_a_saga_seals_its_children() -> None:
    """def_R4, def_R9: a child that has a pivot is one for its parent, which is sealed as it is."""
    child, parent = Saga("child", input=T), saga_of()

    @child.step("a")
    async def a(request: T) -> int:
        return 1

    parent.start("k", child, input="input")
    parent.check()

    def later() -> None:
        @child.step("pay", pivot=True, after=[a])
        async def pay(request: T) -> None: ...

    assert "saga 'child' is sealed" in message_of(later)


def test_a_broken_child_breaks_its_parent() -> None:
    child, parent = Saga("child", input=T, result=T), saga_of()

    @child.step("a")
    async def a(request: T) -> int:
        return 1

    parent.start("k", child, input="input")
    assert "saga 'child' promises result=T" in graph_message_of(parent.check)


def test_a_length_of_days_is_one() -> None:
    saga_of().sleep("n", days(3))

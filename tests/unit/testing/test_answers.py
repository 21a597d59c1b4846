"""What a test may answer in place of handlers, and what is the test's own mistake."""

import functools
import random
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from amends import Permanent, Recoverable, Retry, Saga, Transaction
from amends.testing import Unknown, assert_undone_for_each_failure, run
from tests.unit.definition.test_edges import T, saga_of


def one_step(*, gives_list: bool = False) -> tuple[Saga[T, None], Any]:
    """A saga with a step `f` that gives an int, or a list of them, and is undone."""
    s = saga_of()
    f: Any
    if gives_list:

        @s.step("f", retry=Retry(delays=[1, 1]))
        async def several(request: T) -> list[int]:
            return [0]

        f = several
    else:

        @s.step("f", retry=Retry(delays=[1, 1]))
        async def one(request: T) -> int:
            return 0

        f = one

    @f.undo  # type: ignore[untyped-decorator]
    async def u() -> None: ...

    return s, f


def results(done: Any) -> list[object]:
    return [event.result for event in done.events if type(event).__name__ == "StepSucceeded"]


def more_than_asked(request: T, more: int) -> int:
    return more


def of_all(**arguments: object) -> int:
    return len(arguments)


def misspelt(reqest: T) -> int:
    return 4


FORMS: list[tuple[Any, bool, object]] = [
    ([1, 2], False, 1),
    ([Recoverable("later"), 2], False, 2),
    ([1, 2], True, [1, 2]),
    ([[1], [2]], True, [1]),
    ([Recoverable("later"), [2]], True, [2]),
    (Mock(return_value=4), False, 4),
    (AsyncMock(return_value=5), False, 5),
    (functools.partial(more_than_asked, more=6), False, 6),
    (lambda: 7, False, 7),
    (of_all, False, 1),
]


@pytest.mark.parametrize(("answer", "gives_list", "stored"), FORMS)
def test_an_answer_may_have_these_forms(answer: Any, gives_list: bool, stored: object) -> None:
    s, f = one_step(gives_list=gives_list)
    assert results(run(s, T(), answers={f: answer})) == [stored]


@pytest.mark.parametrize("answer", [Unknown, Recoverable, ValueError])
def test_a_class_stands_for_one_of_its_kind(answer: Any) -> None:
    s, f = one_step()
    assert run(s, T(), answers={f: answer}).status == "compensated"
    assert run(s, T(), answers={f: lambda: answer}).status == "compensated"


MISTAKES: list[tuple[Any, str]] = [
    ("nope", r"the answer of 'f' is no result of it: step 'f', result of one: Input should be a valid integer"),
    (["nope"], r"the answer of 'f' is no result of it"),
    (lambda: "nope", r"the answer of 'f' is no result of it"),
    (misspelt, r"the answer of 'f' takes 'reqest', but its handler takes request"),
    ([], r"the answer of 'f' is an empty list"),
]


@pytest.mark.parametrize(("answer", "says"), MISTAKES)
def test_an_answer_that_cannot_be_meant_fails_the_test(answer: Any, says: str) -> None:
    s, f = one_step()
    with pytest.raises(AssertionError, match=says):
        run(s, T(), answers={f: answer})


class Fake:
    async def fetchval(self, query: str) -> int:
        return 9


def transactional() -> tuple[Saga[T, None], Any, Any, Any]:
    """A saga with a transaction step, its undo, and a step after it."""
    s = saga_of()

    @s.step("f", retry=Retry(delays=[1]))
    async def f(request: T, transaction: Transaction) -> int:
        return int(await transaction.fetchval("SELECT 9"))

    @f.undo
    async def u(result: int, transaction: Transaction) -> None:
        assert await transaction.fetchval("SELECT 9") == 9

    @s.step("after")
    async def after(f: int) -> int:
        return f

    return s, f, u, after


def test_a_transaction_that_nobody_gave_fails_the_test() -> None:
    s, f, _, after = transactional()
    with pytest.raises(AssertionError, match="the handler of 'f' takes a Transaction"):
        run(s, T())
    done = run(s, T(), resources={Transaction: Fake()}, answers={after: Permanent("back")})
    assert (done.status, done.ran, done.undone) == ("compensated", ["f"], ["f"])
    made_up = run(s, T(), answers={f: 1, after: Permanent("back")})
    assert made_up.undone == ["f"], "what was made up is undone without a transaction"


def test_the_result_of_a_lost_commit_is_a_result_of_the_step() -> None:
    s, f, _, _ = transactional()
    with pytest.raises(AssertionError, match="the answer of 'f' is no result of it"):
        run(s, T(), answers={f: Unknown(happened=True)})
    for answer in (Unknown(happened=True, result=3), [Unknown(happened=True, result=3)]):
        done = run(s, T(), answers={f: answer})
        assert (done.status, results(done)) == ("completed", [3, 3])
    by_function = run(s, T(), answers={f: lambda: Unknown(happened=True, result=3)})
    assert by_function.status == "completed"
    assert run(s, T(), answers={f: [Unknown()]}).status == "compensated"


class Client1: ...


def of_items(*, leave_out: bool = False) -> tuple[Saga[T, None], Any]:
    """A saga with a step for each of two items, which is undone."""
    made: Any = saga_of()

    async def ask(item: int) -> int:
        return item

    f = made.step("f", each="input.l", item_failure="leave_out" if leave_out else "fail", retry=Retry(delays=[1]))(ask)

    @f.undo  # type: ignore[untyped-decorator]
    async def u(item: int) -> None: ...

    return made, f


def test_a_list_of_answers_is_counted_for_each_item() -> None:
    s, f = of_items()
    done = run(s, T(l=[1, 2, 3]), answers={f: [Recoverable("later"), 5]})
    assert (done.status, results(done)) == ("completed", [5, 5, 5])
    assert sum(type(event).__name__ == "StepFailed" for event in done.events) == 3


def test_items_that_are_left_out_are_a_good_end() -> None:
    s, _ = of_items(leave_out=True)
    assert_undone_for_each_failure(s, T())


def test_a_resource_that_nobody_gave_is_named_with_the_steps_that_need_it() -> None:
    s = Saga("t", input=T, resources=[Client1])

    @s.step("f")
    async def f(request: T, client: Client1) -> int:
        return 1

    @f.undo
    async def u(client: Client1) -> None: ...

    with pytest.raises(AssertionError, match="f, f:undo need a Client1: give it in resources, or give each an answer"):
        run(s, T())


def test_an_answer_for_a_step_of_another_saga_is_refused() -> None:
    s, _ = one_step()
    _, stranger = one_step()
    with pytest.raises(LookupError, match="<step f> is no step of saga 't'"):
        run(s, T(), answers={stranger: 1})


def test_a_run_leaves_chance_as_it_was() -> None:
    s, f = one_step()
    random.seed(5)
    expected = random.random()
    random.seed(5)
    run(s, T(), answers={f: 1}, seed=9)
    assert random.random() == expected


def test_a_broken_undo_is_no_good_end() -> None:
    s, f = one_step()

    @s.step("g", after=[f])
    async def g(request: T) -> int:
        return 1

    assert_undone_for_each_failure(s, T())
    broken = saga_of()

    @broken.step("h")
    async def h_step(request: T) -> int:
        return 1

    @h_step.undo
    async def hu() -> None:
        raise Permanent("cannot")

    @broken.step("i", after=[h_step])
    async def i(request: T) -> int:
        return 1

    with pytest.raises(AssertionError, match="when 'h' is unknown the saga ends failed"):
        assert_undone_for_each_failure(broken, T())

"""What one node may take of another: never a cycle, and never a value that need not exist (def_R2, def_R3)."""

from pydantic import BaseModel

from amends import CannotTell, Context, DidNotHappen, Given, Happened, Permanent, Retry, Saga, Transaction
from amends.testing import run
from tests.unit.definition.test_messages import message_of


class T(BaseModel):
    flag: bool = False
    l: list[int] = [1, 2]  # noqa: E741 - the names of the findings


def saga_of() -> Saga[T, None]:
    return Saga("t", input=T)


def test_def_r3_a_fallback_takes_nothing_that_is_declared_below_its_step() -> None:
    def declare() -> None:
        s = saga_of()

        @s.step("h")
        async def h(request: T) -> int:
            return 1

        @s.step("f")
        async def f(h: int) -> int:
            return h

        @h.fallback
        async def hf(f: int) -> int:
            return f

    assert message_of(declare) == (
        "hf: parameter 'f' of fallback 'h': 'f' is declared below 'h', which would wait for it\n"
        "  remedy: declare 'f' above 'h', or drop the parameter"
    )


def test_a_fallback_has_no_result_of_its_step_to_take() -> None:
    def declare() -> None:
        @saga_of().step("h")
        async def h(request: T) -> int:
            return 1

        @h.fallback
        async def hf(h: int) -> int:
            return h

    assert "remedy: drop the parameter; `context.cause` says why it failed" in message_of(declare)


def test_def_r2_an_undo_takes_what_stands_beside_its_step_as_perhaps_none() -> None:
    def declare(*, optional: bool) -> Saga[T, None]:
        s = saga_of()

        @s.step("flight")
        async def book_flight(request: T) -> int:
            return 1

        @s.step("hotel")
        async def book_hotel(request: T) -> int:
            return 2

        if optional:

            @book_hotel.undo
            async def u(flight: int | None) -> None: ...
        else:

            @book_hotel.undo
            async def v(flight: int) -> None: ...

        s.check()
        return s

    declare(optional=True)
    assert message_of(lambda: declare(optional=False)) == (
        "v: parameter 'flight' of undo 'hotel' is int, but 'flight' need not have ended when 'hotel' runs\n"
        "  remedy: annotate `flight: int | None`, or let 'hotel' take it too"
    )


def test_what_an_undo_takes_of_its_ancestors_is_there() -> None:
    s = saga_of()

    @s.step("flight")
    async def book_flight(request: T) -> int:
        return 1

    @s.step("hotel", after=[book_flight])
    async def book_hotel(request: T) -> int:
        return 2

    @book_hotel.undo
    async def u(flight: int) -> None: ...

    s.check()


def test_an_undo_gets_none_for_items_that_have_not_all_ended() -> None:
    s = saga_of()
    seen: list[object] = []

    @s.step("labels", each="input.l", concurrency=1)
    async def label(item: int) -> int:
        if item == 2:
            raise Permanent("no")
        return item

    @s.step("notes", each="input.l")
    async def note(item: int) -> int:
        return item

    @s.step("hotel")
    async def book(request: T) -> int:
        return 2

    @book.undo
    async def u(labels: list[Given[int]] | None, notes: list[int] | None) -> None:
        seen.extend((labels, notes))

    assert run(s, T()).undone == ["hotel"]
    assert seen == [None, [1, 2]]


def test_a_probe_never_has_the_result() -> None:
    def declare() -> None:
        @saga_of().step("b")
        async def b(request: T) -> int:
            return 1

        @b.probe
        async def p(result: int) -> Happened[int] | DidNotHappen | CannotTell:
            return DidNotHappen()

    assert message_of(declare) == (
        "p: parameter 'result' of probe 'b' is int, but a probe is asked when nobody knows the result\n"
        "  remedy: annotate `result: int | None`, or drop the parameter"
    )


def test_rule_t2_a_plain_fallback_of_a_compensatable_transaction_step_is_refused() -> None:
    def declare() -> None:
        s = saga_of()

        @s.step("h")
        async def h(request: T, transaction: Transaction) -> int:
            return 1

        @h.undo
        async def u(transaction: Transaction) -> None: ...

        @h.fallback
        async def hf(request: T) -> int:
            return 2

        s.check()

    assert "remedy: take a Transaction in the fallback, or in neither" in message_of(declare)


def test_rule_t2_the_kit_closes_keys_as_postgres_does() -> None:
    s = saga_of()
    undone: list[int] = []

    @s.step("h", retry=Retry(delays=[]))
    async def h(request: T, transaction: Transaction) -> int:
        return 1

    @h.undo
    async def u(result: int, transaction: Transaction) -> None:
        undone.append(result)

    @h.fallback
    async def hf(request: T, context: Context, transaction: Transaction) -> int:
        return 2

    @s.step("after")
    async def after(h: int) -> int:
        raise Permanent("turn back")

    def undo(result: int) -> None:
        undone.append(result)

    refused = run(s, T(), answers={h: Permanent("no"), hf: 7, u: undo})
    assert (refused.status, refused.fallbacks, refused.undone) == ("compensated", ["h"], ["h"])
    assert undone == [7], "the fallback's key says what there is to undo"

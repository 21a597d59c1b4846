"""Names, keys, classes of steps and results, as definitions promise them: what runs, what is undone, and how often."""

from itertools import pairwise
from typing import Any

import pytest

from amends import Context, DidNotHappen, Happened, Permanent, Recoverable, Saga, days
from amends.testing import events as e
from amends.testing import run
from sagas.describe import describe, warnings
from sagas.manifest import UNDO_DELAYS_SECONDS
from tests.unit.definition.test_messages import graph_message_of
from tests.unit.definition.test_rules import ORDER, Order, shop


def test_a_step_keeps_its_name_when_its_function_is_renamed_and_without_one_has_the_functions() -> None:
    """def_R1: the name is in every event."""

    def declared(name: str, *said: str) -> Saga[Order, None]:
        saga: Any = shop()

        async def book(request: Order) -> int:
            return 1

        book.__name__ = book.__qualname__ = name
        saga.step(*said)(book)
        made: Saga[Order, None] = saga
        return made

    before, after = declared("book_hotel", "hotel").seal(), declared("book_any_hotel", "hotel").seal()
    assert [node.name for node in after.manifest.nodes] == ["hotel"]
    assert after.handlers.keys() == before.handlers.keys(), "a saga that began before finds its handler"
    done = run(declared("book_hotel"), ORDER)
    assert [event.step for event in done.events if isinstance(event, e.StepSucceeded)] == ["book_hotel"]


def test_what_concerns_the_graph_is_checked_when_a_saga_is_run() -> None:
    """def_R4: also by whoever forgets to check it."""
    saga = shop()

    @saga.step("one")
    async def one(request: Order) -> int:
        return 1

    @saga.step("paid", pivot=True)
    async def pay(request: Order) -> None: ...

    assert "'one' is neither before nor behind the pivot 'paid'" in graph_message_of(lambda: run(saga, ORDER))
    assert graph_message_of(lambda: run(saga, ORDER)) == graph_message_of(saga.check)


def test_a_step_that_gives_nothing_and_has_no_edge_begins_at_the_start_and_is_warned_of() -> None:
    """def_R8: the order in the file orders nothing."""
    saga = shop()

    @saga.step("packed")
    async def pack(request: Order) -> int:
        return 1

    @saga.step("told")
    async def tell(request: Order) -> None: ...

    lines = describe(saga.seal()).splitlines()
    assert [line.split()[:4] for line in lines[2:4]] == [[name, "no", "undo", "start"] for name in ("packed", "told")]
    (warning,) = warnings(saga.seal().manifest)
    assert warning.startswith("step 'told' of 'shop' begins at the start, gives nothing and has no undo")


def test_a_pivot_that_is_skipped_counts_as_passed() -> None:
    """def_R9: what stands behind it is tried until it succeeds, or an operator is asked; nothing is undone."""
    saga = shop()

    @saga.step("reserved")
    async def reserve(request: Order) -> int:
        return 1

    @reserve.undo
    async def release(result: int | None) -> None: ...

    @saga.step("paid", pivot=True, when="input.gift", after=[reserve])
    async def pay(request: Order) -> None: ...

    @saga.step("told", after=[pay])
    async def tell(request: Order) -> None:
        raise Permanent("no address")

    done = run(saga, ORDER, until=days(1))
    assert (done.status, done.skipped, done.undone) == ("active", ["paid"], [])
    assert [wait.kind for wait in done.waits] == ["operator"]
    assert any("pivot 'paid' of 'shop' has neither" in line for line in warnings(saga.seal().manifest))


def test_a_step_without_an_undo_is_left_alone_when_the_saga_turns_back() -> None:
    """def_R10."""
    saga = shop()
    calls: list[str] = []

    @saga.step("read")
    async def read(request: Order) -> int:
        return 1

    @saga.step("reserved")
    async def reserve(read: int) -> int:
        return 1

    @reserve.undo
    async def release(result: int | None) -> None:
        calls.append("release")

    @saga.step("refused", after=[reserve])
    async def refuse(request: Order) -> None:
        raise Permanent("no")

    done = run(saga, ORDER)
    assert (done.status, done.undone, calls) == ("compensated", ["reserved"], ["release"])
    assert [node.step_class for node in saga.seal().manifest.nodes] == ["no_undo", "compensatable", "no_undo"]


def test_step_fallback_and_probe_share_a_key_and_the_undo_has_its_own() -> None:
    """def_R13, in each item as well: the step's own key is the same everywhere."""
    saga = shop()
    keys: list[tuple[str, str, str]] = []

    def note(role: str, context: Context) -> None:
        start = f"{context.saga_id}/"
        keys.append((role, context.idempotency_key.removeprefix(start), context.step_key.removeprefix(start)))

    @saga.step("labels", each="input.parcels", timeout=1)
    async def label(item: int, context: Context) -> int:
        note("step", context)
        if item == 2:
            raise Permanent("no printer")
        if item == 3:
            raise Permanent("perhaps", happened=None)
        return item

    @label.undo
    async def tear_up(result: int | None, context: Context) -> None:
        note("undo", context)

    @label.probe
    async def look(item: int, context: Context) -> Happened[int] | DidNotHappen:
        note("probe", context)
        return Happened(item)

    @label.fallback
    async def by_hand(item: int, context: Context) -> int:
        note("fallback", context)
        return item

    @saga.step("sent", after=[label])
    async def send(request: Order) -> None:
        raise Permanent("no van")

    assert run(saga, ORDER).status == "compensated"
    assert sorted(set(keys)) == [
        ("fallback", "labels/1", "labels/1"),
        ("probe", "labels/2", "labels/2"),
        *(("step", f"labels/{item}", f"labels/{item}") for item in range(3)),
        *(("undo", f"labels/{item}/undo", f"labels/{item}") for item in range(3)),
    ]


def test_exactly_one_step_gives_the_result_and_a_saga_that_promises_none_gives_none() -> None:
    """def_R14."""

    def declared(*names: str, **said: Any) -> Any:
        saga: Any = Saga("shop", input=Order, **said)
        for name in names:

            async def one(request: Order) -> Order:
                return Order(parcels=[7])

            saga.step(name)(one)
        return saga

    assert run(declared("a", result=Order), ORDER).result == Order(parcels=[7])
    assert run(declared("a"), ORDER).result is None
    assert graph_message_of(declared("a", "b", result=Order).check).endswith(
        "steps that give it: a, b; exactly one is needed"
    )


@pytest.mark.parametrize("late", [False, True], ids=["by a failure", "by its deadline"])
def test_an_undo_is_tried_again_after_one_five_thirty_sixty_and_three_hundred_seconds_then_asks(*, late: bool) -> None:
    """rule_B3: no deadline stops it."""
    saga = Saga("shop", input=Order, deadline=60)

    @saga.step("reserved")
    async def reserve(request: Order) -> int:
        return 1

    @reserve.undo
    async def release(result: int | None) -> None:
        raise Recoverable("not yet")

    if late:
        saga.sleep("night", days(1), after=[reserve])
    else:

        @saga.step("refused", after=[reserve])
        async def refuse(request: Order) -> None:
            raise Permanent("no")

    done = run(saga, ORDER, until=days(1))
    failed = [recorded.at for recorded in done.history if isinstance(recorded.event, e.UndoFailed)]
    assert [round(after - before) for before, after in pairwise(failed)] == list(UNDO_DELAYS_SECONDS)
    assert UNDO_DELAYS_SECONDS == (1, 5, 30, 60, 300)
    assert (done.status, [wait.kind for wait in done.waits]) == ("failed", ["operator"])

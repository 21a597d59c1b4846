"""What definitions mean, by the numbers of their rules; on virtual time where they run."""

import asyncio
from contextlib import nullcontext

import pytest
from pydantic import BaseModel, Field

from amends import Context, Given, InputError, Permanent, Recoverable, Retry, Saga, days, hours, resource
from amends.testing import Unknown, run
from sagas.describe import describe, mermaid, warnings
from sagas.manifest import Manifest
from sagas.resources import forget
from sagas.seal import Defaults, unsupported


class Order(BaseModel):
    parcels: list[int]
    gift: bool = False
    note: str | None = None


ORDER = Order(parcels=[1, 2, 3])


def shop() -> Saga[Order, None]:
    return Saga("shop", input=Order)


def test_def_r8_a_step_without_an_edge_begins_at_once() -> None:
    """def_R8."""
    saga = shop()

    @saga.step("one")
    async def one(request: Order) -> int:
        return 1

    @saga.step("two")
    async def two(request: Order) -> int:
        return 2

    done = run(saga, ORDER, answers={one: Unknown()}, until=days(1))
    assert "two" in done.ran
    assert warnings(saga.seal().manifest) == []


def test_def_r15_a_skipped_step_gives_none_and_does_not_skip_its_followers() -> None:
    saga = shop()

    @saga.step("card", when="input.gift")
    async def card(request: Order) -> str:
        return "card"

    @saga.step("noted", unless="input.note")
    async def noted(request: Order) -> str:
        return "nothing to note"

    @saga.step("packed")
    async def pack(card: str | None, noted: str | None) -> str:
        return f"{card} {noted}"

    assert run(saga, ORDER).skipped == ["card"]
    done = run(saga, Order(parcels=[], gift=True, note="x"))
    assert (done.skipped, done.ran) == (["noted"], ["card", "packed"])


def test_def_r16_each_runs_one_step_for_each_element_at_most_so_many_at_once() -> None:
    saga = Saga("shop", input=Order, result=Order)
    now, most = [0], [0]

    @saga.step("labels", each="input.parcels", concurrency=2)
    async def label(item: int) -> int:
        now[0] += 1
        most[0] = max(most[0], now[0])
        for _ in range(2):
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.01)
        now[0] -= 1
        return item * 10

    @saga.step("sum")
    async def total(labels: list[int]) -> Order:
        return Order(parcels=labels)

    done = run(saga, Order(parcels=[1, 2, 3, 4]))
    assert done.result == Order(parcels=[10, 20, 30, 40])
    assert most == [2]
    assert run(saga, Order(parcels=[])).result == Order(parcels=[])


def test_def_r16_items_that_fail_for_good_may_be_left_out() -> None:
    saga = Saga("shop", input=Order, result=Order)

    @saga.step("labels", each="input.parcels", item_failure="leave_out")
    async def label(item: int) -> int:
        if item == 2:
            raise Permanent("no label")
        return item

    @saga.step("kept")
    async def kept(labels: list[int | None]) -> Order:
        return Order(parcels=[label for label in labels if label is not None])

    assert run(saga, ORDER).result == Order(parcels=[1, 3])

    def unsure(item: int) -> object:
        return Unknown() if item == 2 else item

    unknown = run(saga, ORDER, answers={label: unsure})
    assert unknown.status == "compensated", "an item that nobody knows of turns the saga back"


def test_def_r17_given_says_how_a_result_came_about() -> None:
    saga = Saga("shop", input=Order, result=Order)

    @saga.step("labels", each="input.parcels")
    async def label(item: int) -> int:
        if item == 2:
            raise Permanent("printer on fire")
        return item

    @label.fallback
    async def by_hand(item: int) -> int:
        return -item

    @saga.step("seen")
    async def seen(labels: list[Given[int]]) -> Order:
        assert [label.fallback for label in labels] == [False, True, False]
        assert labels[1].reason == "printer on fire"
        return Order(parcels=[label.value for label in labels])

    done = run(saga, ORDER)
    assert done.result == Order(parcels=[1, -2, 3]), done
    assert done.fallbacks == ["labels"]


def test_def_r18_a_fallback_is_told_why_and_never_runs_over_an_unknown_effect() -> None:
    saga = shop()

    @saga.step("paid", retry=Retry(delays=[]))
    async def pay(request: Order) -> str:
        raise Permanent("card refused")

    @pay.undo
    async def give_back(context: Context) -> None: ...

    @pay.fallback
    async def invoice(request: Order, context: Context) -> str:
        return str(context.cause)

    done = run(saga, ORDER)
    assert done.fallbacks == ["paid"]
    assert any(getattr(event, "result", None) == "card refused" for event in done.events)
    assert run(saga, ORDER, answers={pay: Unknown()}).status == "compensated"


def test_req_h1_h3_three_retries_after_one_five_and_thirty_seconds() -> None:
    saga = shop()
    attempts: list[int] = []

    @saga.step("try")
    async def attempt(request: Order, context: Context) -> None:
        attempts.append(context.attempt)
        raise Recoverable("not yet")

    done = run(saga, ORDER)
    assert attempts == [1, 2, 3, 4]
    assert done.took.total_seconds() == pytest.approx(36, abs=0.5)
    assert done.status == "compensated"


def test_rule_o6_retry_after_replaces_a_shorter_delay() -> None:
    saga = shop()

    @saga.step("try")
    async def attempt(request: Order) -> None: ...

    done = run(saga, ORDER, answers={attempt: [Recoverable("busy", retry_after=60), None]})
    assert done.took.total_seconds() == pytest.approx(60, abs=0.5)


def test_def_r22_an_input_is_normalised_once_by_field_names() -> None:
    class Aliased(BaseModel):
        plan_id: str = Field(alias="planId")
        count: int = 1

    saga = Saga("aliased", input=Aliased)

    @saga.step("one")
    async def one(request: Aliased) -> None: ...

    assert saga.seal().normalise({"planId": "p"}) == {"plan_id": "p", "count": 1}
    assert saga.seal().normalise({"plan_id": "p"}) == {"plan_id": "p", "count": 1}
    with pytest.raises(InputError, match=r"field 'planId': Field required \(and 1 more\)"):
        saga.seal().normalise({"count": "many"})
    with pytest.raises(InputError, match="NUL"):
        saga.seal().normalise({"planId": "a\x00"})


def test_def_r5_a_registered_type_is_a_resource_without_a_list() -> None:
    """def_R5."""

    class Printer: ...

    resource(Printer, lambda: nullcontext(Printer()))
    try:
        saga = shop()

        @saga.step("label")
        async def label(request: Order, printer: Printer) -> None: ...

        assert len(saga.seal().manifest.resources) == 1
    finally:
        forget(Printer)


def test_a_manifest_survives_being_stored_and_keeps_its_fingerprint() -> None:
    saga = shop()

    @saga.step("labels", each="input.parcels", concurrency=3, timeout=7, retry=Retry(base=1, cap=8, max_attempts=5))
    async def label(item: int) -> int:
        return item

    @label.undo(timeout=3, retry=Retry(delays=[2]))
    async def tear_up(result: int | None, item: int) -> None: ...

    manifest = saga.seal().manifest
    again = Manifest.from_json(manifest.to_json())
    assert again == manifest
    assert again.fingerprint == manifest.fingerprint
    node = again.by_name["labels"]
    assert node.handler is not None
    assert node.undo is not None
    assert node.handler.retry.delays == (1, 2, 4, 8)
    assert (node.undo.timeout, node.undo.retry.delays) == (3, (2,))


def test_defaults_hold_where_a_step_says_nothing() -> None:
    saga = shop()

    @saga.step("one")
    async def one(request: Order) -> None: ...

    handler = saga.seal(Defaults(timeout_seconds=3, delays=(9,))).manifest.by_name["one"].handler
    assert handler is not None
    assert (handler.timeout, handler.retry.delays) == (3, (9,))


def test_describe_shows_where_the_way_back_ends_and_what_starts_at_once() -> None:
    saga = Saga("shop", input=Order, deadline=days(3))

    @saga.step("reserved")
    async def reserve(request: Order) -> int:
        return 1

    @reserve.undo
    async def release(result: int | None) -> None: ...

    pause = saga.sleep("pause", hours(1), after=[reserve])

    @saga.step("paid", pivot=True, after=[pause])
    async def pay(request: Order, reserved: int) -> None: ...

    @saga.step("told", after=[pay])
    async def tell(request: Order) -> None: ...

    text = describe(saga.seal())
    lines = text.splitlines()
    assert lines[0].startswith("shop(Order) -> None        deadline 3 days · fingerprint ")
    assert [line.split()[0] for line in lines[2:5]] == ["reserved", "pause", "paid"]
    assert lines[2].split()[1:3] == ["compensatable", "start"]
    assert lines[5].endswith(" no way back from here")
    assert lines[6].split()[:2] == ["told", "retriable"]
    assert lines[7] == "Turning back undoes, in this order: reserved"
    assert "reserved --> paid" in mermaid(saga.seal().manifest)
    assert unsupported(saga.seal().manifest) == []
    assert any("pivot 'paid'" in line for line in warnings(saga.seal().manifest))

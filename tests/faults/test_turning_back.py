"""When the way back begins: not while something may still run that leans on what is to be undone (rule B1)."""

from pydantic import BaseModel

from amends import Permanent, Retry, Saga
from amends.testing import Unknown, run

LEASE_SECONDS = 4.0


class Order(BaseModel):
    id: int = 1


def test_an_undo_waits_for_a_step_without_undo_that_may_still_run_on_what_it_did() -> None:
    saga = Saga("leaning", input=Order)

    @saga.step("account")
    async def open_account(order: Order) -> int:
        return 1

    @open_account.undo
    async def close_account(result: int | None) -> None: ...

    @saga.step("report", timeout=20, retry=Retry(delays=[]))
    async def write_report(account: int) -> None: ...

    done = run(saga, Order(), answers={write_report: Unknown()})
    assert (done.status, done.undone) == ("compensated", ["account"])
    assert done.took.total_seconds() >= 20 + LEASE_SECONDS, done


def test_a_step_that_may_still_run_delays_nothing_where_there_is_nothing_to_undo() -> None:
    saga = Saga("alone", input=Order)

    @saga.step("report", timeout=20, retry=Retry(delays=[]))
    async def write_report(order: Order) -> None: ...

    done = run(saga, Order(), answers={write_report: Unknown()}, unused_ok=True)
    assert done.status == "compensated"
    assert done.took.total_seconds() <= 20 + 1, done


def test_a_parallel_branch_is_undone_at_once() -> None:
    saga = Saga("branches", input=Order)

    @saga.step("hotel")
    async def book_hotel(order: Order) -> int:
        return 1

    @book_hotel.undo
    async def cancel_hotel(result: int | None) -> None: ...

    @saga.step("report", timeout=20, retry=Retry(delays=[]))
    async def write_report(order: Order) -> None:
        raise Permanent("nobody knows", happened=None)

    done = run(saga, Order())
    assert (done.status, done.undone) == ("compensated", ["hotel"])
    assert done.took.total_seconds() < 2, done

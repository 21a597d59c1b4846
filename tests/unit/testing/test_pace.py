"""How a run passes its time: days cost nothing, and no run hangs."""

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from amends import Recoverable, Retry, Saga, days, hours
from amends.testing import Unknown, kit, run
from tests.unit.definition.test_edges import T, saga_of

QUICK_SECONDS = 5.0  # of the processor: the machine may have other work


def failing(retry: Retry) -> Saga[T, None]:
    s = saga_of()

    @s.step("h", retry=retry)
    async def h(request: T) -> int:
        raise Recoverable("not yet")

    return s


@pytest.mark.parametrize(
    ("retry", "until", "took"),
    [
        (Retry(delays=[86_400]), None, timedelta(days=1)),
        (Retry(delays=[14_400], forever=True), None, timedelta(days=30)),
        (Retry(delays=[0], forever=True), timedelta(seconds=3), timedelta()),
        (Retry(base=1, jitter=0.0, forever=True), timedelta(seconds=100), timedelta(seconds=99)),
        (Retry(delays=[days(20), days(20)]), timedelta(days=30), timedelta(days=20)),
    ],
)
def test_long_and_endless_retries_are_quick(
    retry: Retry, until: timedelta | None, took: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "ATTEMPTS_MAX", 300)
    began = time.thread_time()
    done = run(failing(retry), T(), until=until)
    assert time.thread_time() - began < QUICK_SECONDS
    assert done.took.total_seconds() == pytest.approx(took.total_seconds(), rel=0.002, abs=0.5)


def test_a_step_that_is_silent_for_days_times_out_at_once() -> None:
    s = saga_of()

    @s.step("h", timeout=days(5), retry=Retry(delays=[]))
    async def h(request: T) -> int:
        return 1

    began = time.thread_time()
    done = run(s, T(), answers={h: Unknown()})
    assert time.thread_time() - began < QUICK_SECONDS
    assert done.status == "compensated"
    assert done.took.total_seconds() == pytest.approx(days(5).total_seconds(), abs=1)


def test_a_handler_that_waits_for_hours_is_awaited() -> None:
    s = saga_of()

    @s.step("h", timeout=days(1))
    async def h(request: T) -> int:
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=hours(5).total_seconds())
        return 1

    began = time.thread_time()
    done = run(s, T())
    assert time.thread_time() - began < QUICK_SECONDS
    assert done.status == "completed"
    assert done.took.total_seconds() == pytest.approx(hours(5).total_seconds(), abs=1)


def test_time_stands_still_while_a_thread_works() -> None:
    s = saga_of()
    gate = threading.Event()

    def work() -> int:
        assert not gate.wait(0.05)
        return 3

    @s.step("h", timeout=0.01)
    async def h(request: T) -> int:
        return await asyncio.to_thread(work)

    done = run(s, T())
    assert (done.status, done.ran) == ("completed", ["h"])
    assert done.took.total_seconds() == pytest.approx(0, abs=0.01)

"""The slots of a worker: what waits for one is given back, and what ends in whatever way leaves its own."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from amends import Context, Saga
from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.receiver import CommandDelivery
from orchestrator.payloads import Limits
from sagas.inputs import Outcome, Word
from tests.faults.working import LEASE_SECONDS, Order, Stage, play


def test_what_came_beyond_the_room_is_given_back_while_that_is_taken() -> None:
    """rule_C4: a blocking read gives one of each stream; behind a long step it would be judged without having run."""
    saga = Saga("full", input=Order)
    end = asyncio.Event()

    @saga.step("x", timeout=600)
    async def x(order: Order) -> None:
        await end.wait()

    @saga.step("y", timeout=600, queue="aside")
    async def y(order: Order) -> None:
        await end.wait()

    async def scene(stage: Stage) -> None:
        stage.transport.generous = True
        await stage.start()
        await stage.clock.sleep(2 * stage.numbers.fresh_seconds)
        words = [word for _, word in stage.transport.sent if isinstance(word, Outcome)]
        assert [(word.kind, word.cause) for word in words] == [("refused", "busy")]
        end.set()

    play(saga, scene, room=1)


def test_what_came_beyond_the_room_is_given_back_though_what_runs_says_how_far_it_is() -> None:
    """rule_L5: each word of a handler began the patience anew, and the command was judged without having run."""
    saga = Saga("told", input=Order)
    end = asyncio.Event()

    async def going_on(order: Order, context: Context) -> None:
        await LoopClock().sleep(int(context.step[1]) * 1.6)
        while not end.is_set():
            context.progress(1, "going on")
            await LoopClock().sleep(0.5)

    for name in ("x0", "x1", "x2"):
        saga.step(name, timeout=600)(going_on)

    @saga.step("y", timeout=600, queue="later")
    async def y(order: Order) -> None: ...

    async def scene(stage: Stage) -> None:
        stage.transport.generous = True
        await stage.start()
        await stage.clock.sleep(20)
        words = [word for _, word in stage.transport.sent if isinstance(word, Outcome)]
        assert [(word.kind, word.cause) for word in words] == [("refused", "busy")]
        end.set()

    play(saga, scene, room=3)


def test_a_full_worker_ends_when_nobody_can_say_any_more_what_becomes_of_its_commands() -> None:
    """Its leases were renewed for ever, so nobody else took them either."""
    saga = Saga("mute", input=Order)

    @saga.step("x", timeout=10)
    async def x(order: Order) -> None: ...

    async def go() -> None:
        stage = Stage(saga.seal(), room=1)

        async def fails(words: Sequence[Word]) -> None:
            raise RuntimeError("nobody thought of it")

        stage.transport.send = fails  # type: ignore[method-assign]
        running = asyncio.create_task(stage.worker.run())
        await stage.start()
        await asyncio.wait([running], timeout=10)
        assert running.done()
        assert isinstance(running.exception(), ExceptionGroup)

    run_virtual(go)


def test_a_handler_that_breaks_off_by_what_is_no_exception_gives_its_place_free() -> None:
    """rule_L3: as a panic in an extension does; it held its place and its lease for ever."""
    saga = Saga("panic", input=Order)

    class Panic(BaseException):
        pass

    @saga.step("x", timeout=10)
    async def x(order: Order) -> None:
        raise Panic("in an extension")

    async def scene(stage: Stage) -> None:
        await stage.start()
        await stage.clock.sleep(2)
        (word,) = [word for _, word in stage.transport.sent if isinstance(word, Outcome)]
        assert (word.kind, word.cause, word.error and word.error["type"]) == ("unknown", "error", "Panic")
        assert stage.worker.running == ()

    play(saga, scene)


@pytest.mark.parametrize("loading", [False, True])
def test_what_lost_its_lease_before_its_handler_was_called_is_refused(loading: bool) -> None:
    """rule_O1, rule_O4: of something unknown an undo would follow, or a question to a person; and nothing ran."""
    saga = Saga("early", input=Order)
    ran: list[str] = []

    @saga.step("x", timeout=10)
    async def x(order: Order) -> None:
        ran.append("x")

    async def scene(stage: Stage) -> None:
        if loading:
            values = stage.store.values

            async def slow(wanted: Sequence[object]) -> list[object]:
                await stage.clock.sleep(3)
                return await values(wanted)  # type: ignore[arg-type]

            stage.store.values = slow  # type: ignore[method-assign]
            setattr(stage.engine, "_limits", Limits(inline_bytes=1))  # noqa: B010 - so that the input is a payload
        stage.transport.loses_after = 1.0 if loading else 0.0
        await stage.start()
        await stage.clock.sleep(2)
        words = [word for _, word in stage.transport.sent if isinstance(word, Outcome)]
        assert (ran, [(word.kind, word.cause) for word in words]) == ([], [("refused", "busy")])

    play(saga, scene)


def test_what_was_judged_and_settled_here_while_a_read_took_long_is_not_run() -> None:
    """rule_C5: the worker took it over itself, and said so."""
    saga = Saga("slow", input=Order)
    ran: list[str] = []

    @saga.step("x", timeout=10)
    async def x(order: Order) -> None:
        ran.append("x")

    async def scene(stage: Stage) -> None:
        read = stage.transport.read

        async def slow(count: int, block_seconds: float) -> list[CommandDelivery]:
            found = await read(count, block_seconds)
            if found:
                await stage.clock.sleep(LEASE_SECONDS + 0.6)
            return found

        stage.transport.read = slow  # type: ignore[method-assign]
        await stage.start()
        await stage.clock.sleep(10)
        words = [word for _, word in stage.transport.sent if isinstance(word, Outcome)]
        assert (ran, [(word.kind, word.cause) for word in words]) == ([], [("unknown", "worker_lost")])

    play(saga, scene)


@pytest.mark.parametrize("seconds", [1.6, 5.9, 15.978937091080832])
def test_a_full_worker_rests_until_what_waits_is_to_be_given_back(seconds: float) -> None:
    """What was left of its patience could be nothing, by rounding, and it looked again and again."""
    saga = Saga("patient", input=Order)
    end = asyncio.Event()

    @saga.step("x", timeout=600)
    async def x(order: Order) -> None:
        await end.wait()

    @saga.step("y", timeout=600, queue="later")
    async def y(order: Order) -> None: ...

    async def scene(stage: Stage) -> None:
        rests = 0
        first_of = stage.worker._first_of  # pyright: ignore[reportPrivateUsage]

        async def counted(seconds: float, *waits: Coroutine[Any, Any, Any]) -> None:
            nonlocal rests
            rests += 1
            assert rests < 1_000, "it spins"
            await first_of(seconds, *waits)

        stage.worker._first_of = counted  # type: ignore[method-assign] # pyright: ignore[reportPrivateUsage]
        stage.transport.generous = True
        await stage.clock.sleep(seconds)
        await stage.start()
        await stage.clock.sleep(20)
        end.set()
        words = [word for _, word in stage.transport.sent if isinstance(word, Outcome)]
        assert [(word.kind, word.cause) for word in words] == [("refused", "busy")]

    play(saga, scene, room=1)


def test_a_worker_that_stood_still_is_not_judged_by_itself_when_its_step_ends_meanwhile() -> None:
    """rule_L2: it took its own entry over, and its word of that passed the outcome, which stood in the stream."""
    saga = Saga("own", input=Order)
    end = asyncio.Event()

    @saga.step("x", timeout=60)
    async def x(order: Order) -> None:
        await end.wait()

    async def scene(stage: Stage) -> None:
        idle = stage.transport.idle

        async def slow(idle_seconds: float, count: int) -> list[CommandDelivery]:
            found = await idle(idle_seconds, count)
            if found:
                end.set()
                await stage.clock.sleep(0.05)
            return found

        stage.transport.idle = slow  # type: ignore[method-assign]
        await stage.start()
        await stage.clock.sleep(2)
        for entry in stage.broker.entries.values():
            entry.renewed_at -= 2 * LEASE_SECONDS
        await stage.clock.sleep(3)
        assert end.is_set()
        assert [word.kind for _, word in stage.transport.sent if isinstance(word, Outcome)] == ["succeeded"]

    play(saga, scene, room=1)

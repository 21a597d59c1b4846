"""Commands that nobody confirmed: only those are swept that nobody could have (rule C1)."""

import asyncio
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.inprocess import InProcessKeeper, InProcessTransport
from orchestrator.grace import Grace
from sagas.inputs import Start
from sagas.ports import Published
from sagas.records import replace
from tests.faults.test_engine_on_virtual_time import MANIFEST, Stage, play
from tests.unit.test_decisions import SAGA

OTHER = SAGA[:-1] + "3"


@pytest.mark.parametrize("seconds", [0.0, 1.5, 2.2])
def test_what_is_confirmed_while_other_commands_are_looked_for_is_not_swept(seconds: float) -> None:
    """rule_C1: the list of those that nobody had confirmed was two seconds old."""

    async def scene(stage: Stage) -> None:
        worker = InProcessTransport(stage.broker, "w")
        await worker.open(["default"])
        await stage.engine.apply([Start(OTHER, MANIFEST, None), Start(SAGA, MANIFEST, None)])
        keeper = worker.keeper(lambda _: None)
        for delivery in await worker.read(2, 1.0):
            keeper.hold(delivery.entry)
        entry = next(iter(stage.broker.entries))
        await stage.store.confirm([Published(OTHER, 2, entry, 5.2)])
        stage.publisher.forget([(OTHER, 2)])
        inspect: Any = stage.sender.inspect

        async def slowly(rows: Any) -> Any:
            await stage.clock.sleep(seconds)
            return await inspect(rows)

        vars(stage.sender)["inspect"] = slowly
        vars(stage.publisher)["_unconfirmed"][SAGA, 2] = replace(
            vars(stage.publisher)["_unconfirmed"][SAGA, 2], at=stage.clock.monotonic() + 5.4
        )
        stage.store.full = True
        running = asyncio.create_task(stage.run(12))
        await stage.clock.sleep(4.9)
        stage.store.full = False
        await running
        keeper.close()
        assert await stage.unknowns() == []

    play(scene)


async def held(stage: Stage) -> InProcessKeeper:
    """A saga whose first command a worker holds."""
    worker = stage.worker()
    await worker.open(["default"])
    await stage.engine.apply([Start(SAGA, MANIFEST, None)])
    keeper = worker.keeper(lambda _: None)
    for delivery in await worker.read(2, 1.0):
        keeper.hold(delivery.entry)
    return keeper


@pytest.mark.parametrize("second", [1.0, 1.4, 1.5, 2.0, 3.0, 4.8])
@pytest.mark.parametrize("between", [0.3, 0.8])
@pytest.mark.parametrize("first", [2.5, 3.5])
@pytest.mark.parametrize("begins", [0.1, 0.9])
def test_what_was_proved_between_two_outages_proves_nothing_after_the_second(
    begins: float, first: float, between: float, second: float
) -> None:
    """rule_C1: the instant between was enough for a proof, not for who confirms each second."""

    async def scene(stage: Stage) -> None:
        running = asyncio.create_task(stage.run(30 + first + second))
        await stage.clock.sleep(10)
        keeper = await held(stage)
        await stage.clock.sleep(begins)
        for seconds in (first, second):
            stage.store.away = True
            await stage.clock.sleep(seconds)
            stage.store.away = False
            await stage.clock.sleep(between)
        await running
        keeper.close()
        assert await stage.unknowns() == []

    play(scene)


@pytest.mark.parametrize("length", [1.0, 1.5, 2.5, 4.8])
@pytest.mark.parametrize("begins", [3.0, 3.2, 3.5, 3.8])
@pytest.mark.parametrize("answer", [1.5, 2.9])
@pytest.mark.parametrize("takes", [0.0, 0.001, 0.01])
def test_a_proof_before_an_outage_proves_nothing_after_it(
    takes: float, answer: float, begins: float, length: float
) -> None:
    """rule_C1: the transport answered late, so its sender could not confirm before."""

    async def scene(stage: Stage) -> None:
        stage.store.takes = takes
        publish: Any = stage.sender.publish

        async def slowly(*words: Any) -> Any:
            sent = await publish(*words)
            await stage.clock.sleep(answer)
            return sent

        vars(stage.sender)["publish"] = slowly
        running = asyncio.create_task(stage.run(40))
        await stage.clock.sleep(10)
        starting = asyncio.create_task(held(stage))
        await stage.clock.sleep(begins)
        stage.store.away = True
        await stage.clock.sleep(length)
        stage.store.away = False
        keeper = await starting
        await running
        keeper.close()
        assert await stage.unknowns() == []

    play(scene)


def test_proofs_are_forgotten_though_each_look_fails() -> None:
    clock = LoopClock()

    async def go() -> None:
        grace = Grace(clock, 4.0)
        for _ in range(1000):
            grace.failed()
            await clock.sleep(0.25)
            grace.proved(clock.monotonic())
            grace.written()
        assert len(vars(grace)["_proofs"]) < 100
        assert grace.proof(clock.monotonic() - 2.0) > clock.monotonic() - 2.5

    run_virtual(go)

"""When an orchestrator looks: half as often after a minute without anything to do, and at once when it is woken."""

import asyncio

from amends.testing.virtual import run_virtual
from consumers.inprocess import InProcessTransport
from sagas.inputs import Outcome, Start
from sagas.peek import Peek
from tests.faults.test_engine_on_virtual_time import Stage, play
from tests.faults.test_start_limits_on_virtual_time import MANIFEST
from tests.unit.test_decisions import SAGA


def test_an_idle_orchestrator_looks_every_two_seconds_and_an_outcome_ends_that() -> None:
    async def go() -> None:
        stage = Stage()
        await stage.store.put_manifest(MANIFEST)
        looks: list[float] = []
        peek = stage.store.peek

        async def counted() -> Peek:
            looks.append(stage.clock.monotonic())
            return await peek()

        stage.store.peek = counted  # type: ignore[method-assign]

        async def looks_in(seconds: float) -> int:
            before = len(looks)
            await stage.clock.sleep(seconds)
            return len(looks) - before

        working = asyncio.create_task(stage.orchestrator.run())
        assert 58 <= await looks_in(60) <= 62
        await stage.clock.sleep(4)
        assert 29 <= await looks_in(60) <= 31
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        worker = InProcessTransport(stage.broker, "w")
        await worker.send([Outcome(SAGA, 2, 1, "a", None, "step", "succeeded")])
        await stage.clock.sleep(2)
        assert await looks_in(10) >= 10
        stage.orchestrator.stop()
        await working

    run_virtual(go)


def test_rule_a4_who_is_woken_looks_for_what_is_marked_though_outcomes_came_too() -> None:
    async def scene(stage: Stage) -> None:
        await stage.store.put_manifest(MANIFEST)
        other = SAGA.replace("0", "1", 1)
        await stage.engine.apply([Start(other, MANIFEST, None)])
        working = asyncio.create_task(stage.orchestrator.run())
        await stage.clock.sleep(0.3)
        await stage.engine.start_within(Start(SAGA, MANIFEST, None), object())
        worker = InProcessTransport(stage.broker, "w")
        await worker.send([Outcome(other, 2, 1, "a", None, "step", "succeeded")])
        await worker.wake()
        await stage.clock.sleep(0.1)
        assert stage.sent() == [("a", 1), ("a", 1)]
        stage.orchestrator.stop()
        await working

    play(scene)

"""An orchestrator that has had nothing to do for a minute looks half as often, until something comes."""

import asyncio

from amends.testing.virtual import run_virtual
from consumers.inprocess import InProcessTransport
from sagas.inputs import Outcome, Start
from sagas.peek import Peek
from tests.faults.test_engine_on_virtual_time import Stage
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

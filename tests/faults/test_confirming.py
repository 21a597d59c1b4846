"""Confirming: what was sent is written down a second later, whatever happens to the store (rule C1)."""

import asyncio

from sagas.inputs import Start
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage, play
from tests.unit.test_decisions import SAGA


def test_what_was_sent_within_the_last_second_is_confirmed_at_the_end() -> None:
    """rule_C1: the sweep of another orchestrator would run it twice."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.run(0.3)
        (row,) = await stage.store.waits(SAGA)
        assert row.published_at is not None

    play(scene)


def test_what_was_sent_while_a_confirm_stood_still_is_confirmed_a_second_later() -> None:
    """rule_C1: what is not confirmed in time is swept, and would run twice (found by seed 2001191)."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        stage.store.before_confirmed = 7.0
        task = asyncio.create_task(stage.orchestrator.run())
        await stage.clock.sleep(6)
        await stage.engine.apply([Start(TWIN, MANIFEST, None)])
        await stage.clock.sleep(4)
        (row,) = await stage.store.waits(TWIN)
        assert row.published_at is not None
        await stage.clock.sleep(6)
        assert await stage.unknowns(TWIN) == []
        stage.orchestrator.stop()
        await task

    play(scene)


def test_confirming_goes_on_after_an_error() -> None:
    async def scene(stage: Stage) -> None:
        stage.store.failing["confirm"] = 2
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.run(20)
        assert await stage.unknowns() == []

    play(scene)

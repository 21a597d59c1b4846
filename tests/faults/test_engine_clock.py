"""The engine's clock is the database's: what it records is dated by it, however seldom it asks (rule A11)."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from sagas.inputs import Outcome, Start
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage, play
from tests.unit.test_decisions import SAGA


async def two_sagas(stage: Stage) -> None:
    await stage.engine.apply([Start(saga_id, MANIFEST, None) for saga_id in (SAGA, TWIN)])


async def tell_twin(stage: Stage) -> None:
    """Something is committed for another saga."""
    await stage.engine.apply([Outcome(TWIN, 2, 1, "a", None, "step", "succeeded")])


async def off(stage: Stage) -> float:
    """Seconds by which an outcome that comes now is dated wrongly."""
    await stage.tell("a")
    return abs((await stage.store.history(SAGA))[-1].at - await stage.store.now())


@pytest.mark.parametrize("leap", [-7.5, 7.5])
def test_an_engine_that_has_rested_asks_the_database_for_its_clock_again(leap: float) -> None:
    """A worker seldom commits; what it recorded by a clock of hours ago let a probe come too early."""

    async def scene(stage: Stage) -> None:
        await two_sagas(stage)
        stage.store.jump = leap
        await stage.clock.sleep(1.1)
        assert await off(stage) < 0.1

    play(scene)


def test_an_answer_that_took_long_is_old_when_it_comes() -> None:
    """It was read before the commit, which waited for a disk."""

    async def scene(stage: Stage) -> None:
        await two_sagas(stage)
        stage.store.after_append = 4.0
        await tell_twin(stage)
        assert await off(stage) < 0.1

    play(scene)


async def asked(stage: Stage, scene: Awaitable[Any]) -> int:
    """How often the database was asked for its clock meanwhile."""
    now: Any = stage.store.now
    times = 0

    async def counted() -> float:
        nonlocal times
        times += 1
        told: float = await now()
        return told

    vars(stage.store)["now"] = counted
    await scene
    return times


def test_a_batch_of_starts_asks_once_however_slow_the_database_is() -> None:
    """rule_A11: each asked for itself, and the last of 64 were decided a minute after the first."""

    async def scene(stage: Stage) -> None:
        stage.store.takes = 1.1
        many = [SAGA[:-2] + f"{number:02}" for number in range(64)]
        assert await asked(stage, stage.engine.apply([Start(saga_id, MANIFEST, None) for saga_id in many])) == 1
        assert len(stage.sent()) == 64

    play(scene)


def test_an_orchestrator_asks_nothing_after_a_commit_however_slow_it_was() -> None:
    async def scene(stage: Stage) -> None:
        await two_sagas(stage)
        stage.store.after_append = 1.1
        word = Outcome(TWIN, 2, 1, "a", None, "step", "succeeded")
        assert await asked(stage, vars(type(stage.orchestrator))["_apply"](stage.orchestrator, [word])) == 0

    play(scene)


def test_an_answer_that_comes_after_one_to_a_later_question_is_ignored() -> None:
    async def scene(stage: Stage) -> None:
        await two_sagas(stage)
        await stage.clock.sleep(2)
        now: Any = stage.store.now

        async def stalls() -> float:
            told: float = await now()
            await stage.clock.sleep(8)
            return told

        vars(stage.store)["now"] = stalls
        asking = asyncio.create_task(stage.engine.now())
        await stage.clock.sleep(7.8)
        vars(stage.store)["now"] = now
        await tell_twin(stage)
        await asking
        assert await off(stage) < 0.1

    play(scene)

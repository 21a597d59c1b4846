"""Confirming: what was sent is written down a second later, whatever happens to the store (rule C1)."""

import asyncio
from collections.abc import Sequence

import pytest

from consumers.execution import outcome_of
from consumers.inprocess import InProcessTransport
from sagas.inputs import Outcome, Start
from sagas.ports import OutcomeDelivery, WaitRow
from sagas.unread import FEW, Unread
from sagas.whereabouts import EntryState
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


@pytest.mark.parametrize("confirmed", [False, True])
def test_nobody_is_judged_whose_outcome_came_while_the_server_kept_the_question_for_it_waiting(confirmed: bool) -> None:
    """rule_A11: another orchestrator had it in hand (found by seed 18992)."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        if not confirmed:
            stage.publisher.forget([(SAGA, wait.opened_by) for wait in await stage.store.waits(SAGA)])
        worker, other = InProcessTransport(stage.broker, "w"), InProcessTransport(stage.broker, "o2")
        await worker.open(["default"])
        (delivery,) = await worker.read(1, 1.0)
        unread, asked = stage.sender.unread, list[float]()

        async def stalls() -> Unread | None:
            asked.append(stage.clock.monotonic())
            if len(asked) == 1:
                await stage.clock.sleep(1)
                await worker.send([outcome_of(delivery.command)])
                await worker.settle([delivery.entry])
                assert (await other.outcomes(9, 0.1)).deliveries
                await stage.clock.sleep(2)
            return await unread()

        stage.sender.unread = stalls  # type: ignore[method-assign]
        await stage.run(30)
        assert asked
        assert await stage.unknowns() == []
        assert (await stage.store.heads([SAGA]))[SAGA].step("a").status == "succeeded"

    play(scene)


def test_a_worker_that_thaws_between_two_looks_is_not_judged_though_nothing_of_before_is_unread() -> None:
    """rule_A11: its entry was gone at both, once since nobody renewed it, and once since it was over."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        worker, other = InProcessTransport(stage.broker, "w"), InProcessTransport(stage.broker, "o2")
        await worker.open(["default"])
        (delivery,) = await worker.read(1, 1.0)
        inspect, held, looks = stage.sender.inspect, list[OutcomeDelivery](), list[float]()

        async def look(rows: Sequence[WaitRow]) -> list[EntryState]:
            looks.append(stage.clock.monotonic())
            if len(looks) == 1:
                await other.send([Outcome(TWIN, 3, 1, "a", None, "step", "failed")] * (FEW + 1))
                held.extend((await other.outcomes(2 * FEW, 0.0)).deliveries)
            if len(looks) == 2:
                await other.acknowledge([one.entry for one in held])
                await worker.send([outcome_of(delivery.command)])
                await worker.settle([delivery.entry])
            return await inspect(rows)

        stage.sender.inspect = look  # type: ignore[method-assign, assignment]
        await stage.run(60)
        assert len(looks) >= 2
        assert await stage.unknowns() == []

    play(scene)


def test_confirming_goes_on_after_an_error() -> None:
    async def scene(stage: Stage) -> None:
        stage.store.failing["confirm"] = 2
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.run(20)
        assert await stage.unknowns() == []

    play(scene)

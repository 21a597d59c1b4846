"""Steps that nobody begins in time, on virtual time: taken back unread or by their mark, else left alone (rule L5)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from amends.testing.virtual import run_virtual
from consumers.inprocess import InProcessTransport
from sagas import events as e
from sagas.inputs import Hold, Outcome, Release, Start
from sagas.manifest import Manifest
from sagas.ports import StoreUnavailable, WaitRow
from sagas.state import State
from tests.faults.test_engine_on_virtual_time import TWIN, Stage
from tests.unit.test_decisions import SAGA, node

LIMIT_SECONDS = 60.0
OTHER = SAGA[:-1] + "3"


def limited(seconds: float) -> Manifest:
    return Manifest(name="m", nodes=(node("a", schedule_timeout=seconds),), input="x", input_schema={})


MANIFEST, HASTY = limited(LIMIT_SECONDS), limited(2.0)


def play(scene: Callable[[Stage], Awaitable[None]]) -> None:
    """An orchestrator works meanwhile."""

    async def go() -> None:
        stage = Stage()
        for manifest in (MANIFEST, HASTY):
            await stage.store.put_manifest(manifest)
        running = asyncio.create_task(stage.orchestrator.run())
        try:
            await scene(stage)
        finally:
            stage.orchestrator.stop()
            await running

    run_virtual(go)


async def head(stage: Stage) -> State:
    return (await stage.store.heads([SAGA]))[SAGA]


async def failed_after(stage: Stage, saga_id: str = SAGA) -> list[float]:
    """How long after its first command the step failed, for want of somebody who begins it."""
    history = await stage.store.history(saga_id)
    return [
        entry.at - history[0].at
        for entry in history
        if isinstance(entry.event, e.StepFailed) and entry.event.error["code"] == "not_started"
    ]


def test_what_nobody_reads_is_taken_back_within_two_seconds_of_its_limit() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.clock.sleep(LIMIT_SECONDS - 1)
        assert stage.sent() == [("a", 1)]
        await stage.clock.sleep(3)
        (after,) = await failed_after(stage)
        assert LIMIT_SECONDS <= after < LIMIT_SECONDS + 2
        assert (stage.sent(), await stage.unknowns()) == ([], [])
        found = await head(stage)
        assert (found.status, dict(found.waits)) == ("compensated", {})

    play(scene)


def test_what_somebody_holds_is_left_alone() -> None:
    async def scene(stage: Stage) -> None:
        worker = InProcessTransport(stage.broker, "w")
        await worker.open(["default"])
        await stage.engine.apply([Start(SAGA, HASTY, None)])
        (delivery,) = await worker.read(1, 1.0)
        keeper = worker.keeper(lambda entry: None)
        keeper.hold(delivery.entry)
        await stage.clock.sleep(15)
        assert (await failed_after(stage), await stage.unknowns()) == ([], [])
        keeper.close()
        wait = next(iter((await head(stage)).waits))
        await worker.send([Outcome(SAGA, wait, delivery.command.attempt, "a", None, "step", "succeeded")])
        await stage.clock.sleep(1)
        assert (await head(stage)).status == "completed"

    play(scene)


def test_what_the_transport_refuses_is_taken_back_by_its_mark() -> None:
    """rule_C9."""

    async def scene(stage: Stage) -> None:
        stage.sender.refusing = True
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.clock.sleep(LIMIT_SECONDS + 3)
        assert len(await failed_after(stage)) == 1
        stage.sender.refusing = False
        await stage.clock.sleep(30)
        assert (stage.sent(), await stage.unknowns()) == ([], [])

    play(scene)


def test_what_was_taken_back_is_judged_though_the_first_commit_fails() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.clock.sleep(LIMIT_SECONDS - 1)
        stage.store.failing["append"] = 3
        await stage.clock.sleep(15)
        assert (stage.store.failing["append"], len(await failed_after(stage))) == (0, 1)
        assert await stage.unknowns() == []

    play(scene)


def test_a_limit_that_is_found_together_with_the_check_of_its_command_is_judged_first() -> None:
    """After an outage both are due at once: what was taken back then is gone, and seemed lost."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.clock.sleep(LIMIT_SECONDS - 1)
        stage.store.failing["due"] = 100
        await stage.clock.sleep(60)
        assert stage.store.failing["due"] == 0
        assert (len(await failed_after(stage)), await stage.unknowns()) == (1, [])
        found = await head(stage)
        assert (found.status, found.step("a").maybe, stage.sent()) == ("compensated", False, [])

    play(scene)


def test_what_was_taken_back_is_left_to_its_limit_though_its_check_is_due_before_and_the_first_commit_fails() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.clock.sleep(LIMIT_SECONDS - 10)
        (check,) = [row.due_at for row in await stage.store.waits(SAGA) if row.kind == "step"]
        (limit,) = [row.due_at for row in await stage.store.waits(SAGA) if row.kind != "step"]
        assert check < limit
        stage.store.failing.update(due=100, append=2)
        await stage.clock.sleep(60)
        assert stage.store.failing == {"due": 0, "append": 0}
        assert (len(await failed_after(stage)), await stage.unknowns(), stage.sent()) == (1, [], [])

    play(scene)


def test_what_was_taken_back_is_left_to_its_limit_however_often_it_could_not_be_put_off() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.clock.sleep(LIMIT_SECONDS - 10)
        stage.store.failing.update(due=100, append=1)
        postpone, failures = stage.store.postpone, 15

        async def putting_off(waits: Sequence[tuple[str, int, float]]) -> None:
            nonlocal failures
            if not stage.sent() and failures:
                failures -= 1
                raise StoreUnavailable("the disk is full")
            await postpone(waits)

        stage.store.postpone = putting_off  # type: ignore[method-assign]
        await stage.clock.sleep(120)
        assert (failures, stage.store.failing) == (0, {"due": 0, "append": 0})
        assert (len(await failed_after(stage)), await stage.unknowns(), stage.sent()) == (1, [], [])

    play(scene)


def test_what_was_taken_back_by_its_mark_is_left_to_its_limit_while_nothing_can_be_committed() -> None:
    """rule_C1: the sweep took it for a command that nobody sent."""

    async def scene(stage: Stage) -> None:
        stage.sender.refusing = True
        await stage.engine.apply([Start(SAGA, MANIFEST, None), Start(TWIN, MANIFEST, None)])
        await stage.clock.sleep(LIMIT_SECONDS - 1)
        stage.store.failing["append"] = 1
        await stage.clock.sleep(2)
        stage.store.full = True
        await stage.clock.sleep(60)
        stage.store.full = stage.sender.refusing = False
        await stage.clock.sleep(20)
        assert stage.store.failing["append"] == 0
        assert [(await stage.unknowns(saga_id), stage.sent()) for saga_id in (SAGA, TWIN)] == [([], []), ([], [])]
        assert [len(await failed_after(stage, saga_id)) for saga_id in (SAGA, TWIN)] == [1, 1]

    play(scene)


def test_while_large_results_cannot_be_stored_no_command_is_taken_back() -> None:
    """rule_A11: nothing can be committed then either."""

    async def scene(stage: Stage) -> None:
        later = limited(24.0)
        await stage.store.put_manifest(later)
        await stage.engine.apply(
            [Start(SAGA, limited(20.0), None), Start(TWIN, later, None), Start(OTHER, MANIFEST, None)]
        )
        (command,) = [row for row in await stage.store.waits(OTHER) if row.kind == "step"]
        await stage.clock.sleep(19.97)
        assert len(stage.sent()) == 3
        stage.store.full = True
        word = Outcome(OTHER, command.opened_by, 1, "a", None, "step", "succeeded", result="x" * 10_000)
        vars(stage.orchestrator)["_look_at"] = 0.0
        await stage.sender.send([word])
        await stage.clock.sleep(10)
        assert len(stage.sent()) == 3
        stage.store.full = False
        await stage.clock.sleep(20)
        heads = await stage.store.heads([SAGA, TWIN, OTHER])
        assert [heads[saga_id].status for saga_id in (SAGA, TWIN, OTHER)] == ["compensated", "compensated", "completed"]

    play(scene)


def test_a_command_whose_limit_is_gone_is_judged_though_it_was_taken_back() -> None:
    """rule_L5, inv 1: it is left to its limit for some seconds only."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        (limit,) = [row.opened_by for row in await stage.store.waits(SAGA) if row.kind != "step"]
        await stage.clock.sleep(LIMIT_SECONDS - 1)
        stage.store.failing["append"] = 1
        due: Any = stage.store.due

        async def without_limit(*words: Any, **more: Any) -> list[WaitRow]:
            rows: list[WaitRow] = await due(*words, **more)
            return [row for row in rows if row.opened_by != limit or stage.store.failing["append"]]

        stage.store.due = without_limit  # type: ignore[method-assign]
        await stage.clock.sleep(60)
        assert (await failed_after(stage), await stage.unknowns()) == ([], ["lost"])

    play(scene)


def test_what_another_process_took_back_and_left_is_lost_and_begun_anew() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.clock.sleep(3)
        rows = [row for row in await stage.store.waits(SAGA) if row.kind == "step"]
        assert await stage.sender.withdraw(rows) == [True]
        await stage.clock.sleep(30)
        assert (await stage.unknowns(), stage.sent()) == (["lost"], [("a", 2)])

    play(scene)


def test_time_in_hold_keeps_a_command_in_its_stream() -> None:
    """rule_B7: the row of the limit does not know of it."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.clock.sleep(10)
        await stage.engine.apply([Hold(SAGA, "look", "h")])
        await stage.clock.sleep(200)
        await stage.engine.apply([Release(SAGA, "go", "r")])
        await stage.clock.sleep(LIMIT_SECONDS - 15)
        assert (await failed_after(stage), stage.sent()) == ([], [("a", 1)])
        await stage.clock.sleep(10)
        (after,) = await failed_after(stage)
        assert 200 + LIMIT_SECONDS <= after < 200 + LIMIT_SECONDS + 2

    play(scene)

"""What sagas owe one another is decided together with what is due in the same look, and before it (rules B5, A11)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Saga
from amends.testing.virtual import run_virtual
from consumers.inprocess import InProcessTransport
from orchestrator.timers import Judged, WhatIsDue
from sagas import events as e
from sagas.inputs import Cancel, Due, Outcome, Start
from sagas.ports import Command
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage
from tests.faults.test_newer_events import write_newer
from tests.unit.test_decisions import FAILED, SAGA


class Load(BaseModel):
    parcels: int = 0


CHILD = Saga("child", input=Load)


@CHILD.step("work")
async def work(load: Load) -> int:
    return 1


@work.undo
async def undo(load: Load) -> None: ...


PARENT = Saga("parent", input=Load, deadline=timedelta(seconds=30))
PARENT.start("kid", CHILD, input="input")


OTHER, FOURTH = SAGA[:-1] + "3", SAGA[:-1] + "4"


def play(scene: Callable[[Stage, InProcessTransport], Awaitable[None]]) -> None:
    """A parent has begun its child; an orchestrator works meanwhile."""

    async def go() -> None:
        stage = Stage()
        for saga in (PARENT, CHILD):
            await stage.store.put_manifest(saga.seal().manifest)
        running = asyncio.create_task(stage.orchestrator.run())
        worker = InProcessTransport(stage.broker, "w")
        await worker.open(["default"])
        await stage.engine.apply([Start(SAGA, PARENT.seal().manifest, {"parcels": 1})])
        await stage.clock.sleep(2)
        try:
            await scene(stage, worker)
        finally:
            stage.orchestrator.stop()
            await running

    run_virtual(go)


async def read(worker: InProcessTransport) -> Command:
    (delivery,) = await worker.read(1, 5.0)
    return delivery.command


async def tell(stage: Stage, command: Command, kind: str, **more: object) -> None:
    word = Outcome(command.saga_id, command.opened_by, 1, "work", None, "step", kind, **more)  # type: ignore[arg-type]
    await stage.engine.apply([word])


def test_a_child_that_ended_before_the_deadline_of_its_parent_is_heard_first() -> None:
    """After an outage both came in one look, and a saga that was complete was undone."""

    async def scene(stage: Stage, worker: InProcessTransport) -> None:
        command = await read(worker)
        await stage.clock.sleep(10)
        stage.store.failing["due"] = 120
        await tell(stage, command, "succeeded", result=1)
        await stage.clock.sleep(60)
        assert stage.store.failing["due"] == 0
        heads = await stage.store.heads([SAGA, command.saga_id])
        assert [head.status for head in heads.values()] == ["completed", "completed"]

    play(scene)


@pytest.mark.parametrize("due", ["retry", "lost"])
def test_a_child_that_is_to_turn_back_sends_nothing_more_in_the_look_that_finds_it(due: str) -> None:
    async def scene(stage: Stage, worker: InProcessTransport) -> None:
        if due == "retry":
            command = await read(worker)
            await tell(stage, command, "failed", error=dict(FAILED, retryable=True))
            saga_id = command.saga_id
        else:
            saga_id = next(step.child for step in (await stage.store.heads([SAGA]))[SAGA].steps.values()) or ""
            rows = [row for row in await stage.store.waits(saga_id) if row.kind == "step"]
            assert await stage.sender.withdraw(rows) == [True]
        stage.store.failing["due"] = 100
        await stage.clock.sleep(1)
        await stage.engine.apply([Cancel(SAGA, "no", "r1")])
        await stage.clock.sleep(100)
        assert stage.store.failing["due"] == 0
        history = await stage.store.history(saga_id)
        assert [entry.event.attempt for entry in history if isinstance(entry.event, e.StepScheduled)] == [1]
        assert (await stage.store.heads([SAGA]))[SAGA].status in ("compensated", "compensating")

    play(scene)


def test_in_one_turn_each_message_outcome_and_verdict_has_its_own_answer() -> None:
    """rule_B5: who is newer hears of it later, whatever stands before and behind it."""

    async def go() -> None:
        stage = Stage()
        for saga in (PARENT, CHILD):
            await stage.store.put_manifest(saga.seal().manifest)
        await stage.engine.apply([Start(saga_id, PARENT.seal().manifest, {"parcels": 1}) for saga_id in (SAGA, TWIN)])
        await stage.engine.apply([Start(saga_id, MANIFEST, None) for saga_id in (OTHER, FOURTH)])
        turning: Any = stage.orchestrator
        turning._look_at = 0.0
        await turning.turn()
        parents = await stage.store.heads([SAGA, TWIN])
        children = [next(iter(parents[saga_id].steps.values())).child or "" for saga_id in (SAGA, TWIN)]
        for child in children:
            wait = next(iter((await stage.store.heads([child]))[child].waits))
            await stage.engine.apply([Outcome(child, wait, 1, "work", None, "step", "succeeded", result=1)])
        write_newer(stage, SAGA)
        write_newer(stage, FOURTH)
        await stage.sender.send([Outcome(FOURTH, 2, 1, "a", None, "step", "succeeded")])

        async def judged(_: WhatIsDue) -> Judged:
            return Judged((Due(OTHER, 2, "lost"),))

        turning._timers.judged, turning._look_at = judged, 0.0
        await turning.turn()
        assert [left.word.saga_id for _, _, left in stage.broker.pending_words.values()] == [FOURTH]
        owed = {child: [row.kind for row in await stage.store.waits(child)] for child in children}
        assert owed == {children[0]: ["notify"], children[1]: []}
        assert await stage.unknowns(OTHER) == ["lost"]
        heads = await stage.store.heads([SAGA, TWIN])
        assert (heads[SAGA].newer, heads[TWIN].status) == (True, "completed")
        (row,) = await stage.store.waits(children[0])
        assert row.due_at > await stage.store.now() + 5, "it is told in a while"

    run_virtual(go)

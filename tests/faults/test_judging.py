"""Judging commands that are gone: never while their own outcome may lie unread, and always in the end (A11, L5)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.execution import outcome_of
from consumers.inprocess import Broker, InProcessTransport
from eventstore.memory import MemoryStore
from orchestrator.timers import REMEMBERED_MAX, Timers
from reconciler.cycle import Reconciler
from reconciler.evidence import NewerSaga, Sight, StaleWait
from sagas.inputs import Outcome, Start
from sagas.peek import Peek
from sagas.ports import GONE, EntryState, WaitRow
from tests.faults.test_engine_on_virtual_time import EPOCH, MANIFEST, TWIN, Stage, play
from tests.unit.test_decisions import SAGA


@pytest.mark.parametrize("delay", [0.05, 0.5, 5.0])
def test_a_slow_answer_about_outcomes_is_no_time_in_which_none_came(delay: float) -> None:
    """rule_A11: the step ended between the read of the outcomes and the look at its entry, and was judged lost."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        worker = InProcessTransport(stage.broker, "w")
        await worker.open(["default"])
        (delivery,) = await worker.read(1, 1.0)
        keeper = worker.keeper(lambda _: None)
        keeper.hold(delivery.entry)
        inspect, oldest_outcome = stage.sender.inspect, stage.sender.oldest_outcome
        looks: list[float] = []

        async def look(rows: list[WaitRow]) -> list[EntryState]:
            looks.append(stage.clock.monotonic())
            if len(looks) == 2:
                await worker.send([outcome_of(delivery.command)])
                keeper.release(delivery.entry)
                await worker.settle([delivery.entry])
            return await inspect(rows)

        async def slow() -> float | None:
            age = await oldest_outcome()
            await stage.clock.sleep(delay)
            return age

        stage.sender.inspect = look  # type: ignore[method-assign, assignment]
        stage.sender.oldest_outcome = slow  # type: ignore[method-assign]
        await stage.run(60)
        assert len(looks) >= 2
        assert await stage.unknowns() == []
        assert (await stage.store.heads([SAGA]))[SAGA].step("a").status == "succeeded"

    play(scene)


def test_a_lost_command_is_judged_though_more_outcomes_always_wait_than_are_read_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """rule_L5, inv 1: they come faster than they are read, and each is committed within a tenth of a second."""
    caplog.set_level(logging.CRITICAL)

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.publisher.confirm(0)
        await stage.broker.flush()
        outcomes = stage.sender.outcomes

        async def feed() -> None:
            while True:
                missing = 300 - len(stage.broker.words)
                await stage.sender.send([Outcome(TWIN, 3, 1, "a", None, "step", "failed")] * missing)
                await stage.clock.sleep(0.02)

        async def paced(count: int, block_seconds: float) -> object:
            found = await outcomes(count, block_seconds)
            await stage.clock.sleep(0.01)
            return found

        stage.sender.outcomes = paced  # type: ignore[method-assign, assignment]
        feeding = asyncio.create_task(feed())
        await stage.run(60)
        feeding.cancel()
        assert await stage.unknowns() == ["lost"]

    play(scene)


def test_more_lost_commands_than_are_remembered_are_all_judged_while_outcomes_come() -> None:
    """rule_L5, rule_L7: each was forgotten before it was looked at again."""
    count = REMEMBERED_MAX + 2_000

    class Redis(InProcessTransport):
        async def oldest_outcome(self) -> float | None:
            return 0.05

        async def inspect(self, waits: Sequence[WaitRow]) -> list[EntryState]:
            return [GONE for _ in waits]

    class Postgres(MemoryStore):
        def __init__(self) -> None:
            super().__init__(lambda: EPOCH)
            self.queued = {
                (f"s{index}", 1): WaitRow(f"s{index}", 1, "step", "a", None, 1, "q", "normal", 0.0, 0.0, 0.0, "1-1")
                for index in range(count)
            }
            self.turns = list(self.queued)

        async def due(self, limit: int) -> list[WaitRow]:
            found, self.turns = self.turns[:limit], self.turns[limit:]
            return [self.queued[key] for key in found]

        async def postpone(self, waits: Sequence[tuple[str, int, float]]) -> None:
            self.turns += [(saga_id, opened_by) for saga_id, opened_by, _ in waits]

    async def go() -> None:
        clock, store = LoopClock(), Postgres()
        timers = Timers(store, Redis(Broker(), "o"), clock, 4.0, 500)
        judged = 0
        while judged < count and clock.monotonic() < 60:
            judged += len((await timers.due(Peek(1.0, False, None, 0.0))).words)
            await clock.sleep(0.05)
        assert judged == count

    run_virtual(go)


@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_the_reconciler_repairs_only_what_is_left_when_all_outcomes_that_came_before_are_committed(
    delay: float,
) -> None:
    """rule_A11: the first stands for long, or others come all the time."""

    class Looks:
        async def overdue(self, seconds: float, limit: int) -> list[StaleWait]:
            return [StaleWait(SAGA, "m", 2, "step", "a", None, 1, EPOCH, 100.0)]

        async def never_published(self, seconds: float, limit: int) -> list[StaleWait]:
            return []

        async def newer(self, limit: int) -> list[NewerSaga]:
            return []

        @asynccontextmanager
        async def look(self) -> AsyncGenerator[Sight | None]:
            yield self

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        came: list[float] = [1.0]

        async def oldest() -> float | None:
            now = stage.clock.monotonic()
            await stage.clock.sleep(delay)
            return now - came[0] if came else 0.05

        reconciler = Reconciler(stage.store, Looks(), stage.engine, stage.clock, oldest)
        await stage.clock.sleep(1.3)
        assert (await reconciler.run_once()).repaired == 0
        came.clear()
        assert (await reconciler.run_once()).repaired == 1

    play(scene)

"""Judging commands that are gone: never while their own outcome may lie unread, and always in the end (A11, L5)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.execution import outcome_of
from consumers.inprocess import Broker, InProcessTransport
from eventstore.memory import MemoryStore
from orchestrator.timers import CONFIRMED_SECONDS, REMEMBERED_MAX, Timers
from reconciler.cycle import Reconciler
from reconciler.evidence import NewerSaga, Sight, StaleWait
from sagas.inputs import Due, Outcome, Start
from sagas.peek import Peek
from sagas.ports import WaitRow
from sagas.state import Waiting
from sagas.unread import FEW, Unread
from sagas.whereabouts import GONE, EntryState, Posted
from tests.faults.test_engine_on_virtual_time import EPOCH, MANIFEST, TWIN, Stage, play
from tests.unit.test_decisions import SAGA

DUE = Peek(1.0, False, None, 0.0)


class Redis(InProcessTransport):
    """A transport that says of every command, and of the outcomes, what it is told to."""

    def __init__(self, state: EntryState) -> None:
        super().__init__(Broker(), "o")
        self.state = state
        self.stand: Unread | None = None
        self.told: set[Waiting] = set()

    async def inspect(self, waits: Sequence[Posted]) -> list[EntryState]:
        """The same of all."""
        return [self.state for _ in waits]

    async def unread(self) -> Unread | None:
        """What stands."""
        return self.stand

    async def told_of(self, waits: Collection[Waiting]) -> set[Waiting]:
        """Whose outcome stands there."""
        return self.told.intersection(waits)


class Looks:
    """What a reconciler looks at: nothing."""

    async def overdue(self, seconds: float, limit: int) -> list[StaleWait]:
        """No wait."""
        return []

    async def never_published(self, seconds: float, limit: int) -> list[StaleWait]:
        """No command."""
        return []

    async def newer(self, limit: int) -> list[NewerSaga]:
        """No saga."""
        return []

    @asynccontextmanager
    async def look(self) -> AsyncGenerator[Sight | None]:
        """One look."""
        yield self


class Postgres(MemoryStore):
    """A store in which what was looked at last is due last."""

    def __init__(self, rows: Sequence[WaitRow]) -> None:
        super().__init__(lambda: EPOCH)
        self.turns = list(rows)
        self.unconfirmed: list[WaitRow] = []
        self._taken: list[WaitRow] = []
        self.later: list[float] = []
        self.asked: list[bool] = []

    async def due(self, limit: int, *, commands: bool = True) -> list[WaitRow]:
        """Those whose turn it is; the last ones that were judged come no more once others are asked for."""
        self.asked.append(commands)
        if not commands:
            return []
        self._taken, self.turns = self.turns[:limit], self.turns[limit:]
        return self._taken

    async def unpublished(self, age_seconds: float, limit: int) -> list[WaitRow]:
        """Those that nobody confirmed."""
        return self.unconfirmed

    async def postpone(self, waits: Sequence[tuple[str, int, float]]) -> None:
        """These come again."""
        again = {saga_id for saga_id, _, _ in waits}
        self.later += [seconds for _, _, seconds in waits]
        self.turns += [row for row in self._taken if row.saga_id in again]


def row(saga_id: str = SAGA, entry: str | None = "1-1") -> WaitRow:
    sent = None if entry is None else 0.0
    return WaitRow(saga_id, 2, "step", "a", None, 1, "q", "normal", 0.0, 0.0, sent, entry)


def outcomes(first: int, last: int, seconds: float = 0.05, count: int = FEW + 1) -> Unread:
    return Unread((first, 0), (last, 0), seconds, count)


def timers_of(clock: LoopClock, redis: Redis, rows: Sequence[WaitRow]) -> tuple[Timers, Postgres]:
    store = Postgres(rows)
    return Timers(store, redis, clock, 4.0, 500), store


async def look(timers: Timers, store: Postgres, peek: Peek = DUE, *, crowded: bool = False) -> tuple[Due, ...]:
    """What is due; as an orchestrator does, put off what is not judged."""
    due = await timers.due(peek, crowded=crowded)
    judged = await timers.judged(due)
    await store.postpone(judged.unsure)
    return (*due.words, *judged.words)


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
        inspect, unread = stage.sender.inspect, stage.sender.unread
        looks: list[float] = []

        async def look(rows: list[WaitRow]) -> list[EntryState]:
            looks.append(stage.clock.monotonic())
            if len(looks) == 2:
                await worker.send([outcome_of(delivery.command)])
                keeper.release(delivery.entry)
                await worker.settle([delivery.entry])
            return await inspect(rows)

        async def slow() -> Unread | None:
            found = await unread()
            await stage.clock.sleep(delay)
            return found

        stage.sender.inspect = look  # type: ignore[method-assign, assignment]
        stage.sender.unread = slow  # type: ignore[method-assign]
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

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [row(saga_id=f"s{index}") for index in range(count)])
        judged = place = 0
        while judged < count and clock.monotonic() < 60:
            place += 1
            redis.stand = outcomes(place, place)
            judged += len(await look(timers, store))
            await clock.sleep(0.05)
        assert (judged, store.turns) == (count, [])

    run_virtual(go)


def test_a_command_whose_own_outcome_stands_is_never_judged_wherever_it_stands() -> None:
    """rule_A11: it was put to the end for a newer program, or came when all that had stood there was committed."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [row()])
        redis.stand = outcomes(7, 9)
        assert await look(timers, store) == (), "many stand there, and any may be its own"
        redis.stand, redis.told = outcomes(20, 20), {(SAGA, 2)}
        assert await look(timers, store) == ()
        redis.stand = outcomes(20, 20, count=1)
        assert await look(timers, store) == ()
        redis.told.clear()
        assert await look(timers, store) == (Due(SAGA, 2, "lost"),)

    run_virtual(go)


def test_where_few_outcomes_stand_a_command_is_judged_at_once() -> None:
    """rule_L5: whatever they are of, and for however long they have stood there."""

    async def go() -> None:
        redis = Redis(GONE)
        timers, store = timers_of(LoopClock(), redis, [row()])
        redis.stand = outcomes(7, 9, seconds=1000.0, count=FEW)
        assert await look(timers, store) == (Due(SAGA, 2, "lost"),)

    run_virtual(go)


def test_a_command_that_nobody_confirmed_is_not_judged_while_its_outcome_stands() -> None:
    """rule_A11, rule_C1."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [])
        store.unconfirmed = [row(entry=None)]
        assert await look(timers, store, Peek(100.0, False, 90.0, None)) == (), "whether it can be written is not known"
        await clock.sleep(CONFIRMED_SECONDS)
        redis.stand, redis.told = outcomes(5, 7, count=3), {(SAGA, 2)}
        assert await look(timers, store, Peek(100.0, False, 90.0, None)) == ()
        redis.stand, redis.told = None, set()
        assert await look(timers, store, Peek(100.0, False, 90.0, None)) == (Due(SAGA, 2, "lost"),)

    run_virtual(go)


def test_how_long_outcomes_have_stood_is_no_matter_of_the_clock_of_redis() -> None:
    """rule_A11: it went back, and each that stood seemed to have come just now."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [row()])
        redis.stand = outcomes(7, 9, 3.0)
        assert await look(timers, store) == ()
        await clock.sleep(5)
        redis.stand = outcomes(7, 12, 0.0)
        assert await look(timers, store) == ()
        redis.stand = outcomes(10, 12, 0.0)
        assert await look(timers, store) == (Due(SAGA, 2, "lost"),)

    run_virtual(go)


def test_after_a_verdict_that_could_not_be_committed_outcomes_are_asked_for_anew() -> None:
    """rule_A11: its worker thawed, and the step ended meanwhile."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [row()])
        redis.stand = outcomes(7, 9)
        assert await look(timers, store) == ()
        redis.stand = outcomes(10, 12)
        assert await look(timers, store) == (Due(SAGA, 2, "lost"),)
        store.turns, redis.stand, redis.told = [row()], outcomes(20, 20, 0.5), {(SAGA, 2)}
        assert await look(timers, store) == ()

    run_virtual(go)


def test_a_command_is_judged_though_the_stream_of_outcomes_was_made_anew_with_lower_places() -> None:
    """rule_L5, rule_L7: the clock of Redis was ahead, and its memory was lost."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [row()])
        redis.stand = outcomes(3_600_000, 3_600_005)
        assert await look(timers, store) == ()
        redis.stand = outcomes(7, 9)
        assert await look(timers, store) == ()
        redis.stand = outcomes(10, 12)
        assert await look(timers, store) == (Due(SAGA, 2, "lost"),)

    run_virtual(go)


def test_a_verdict_that_could_not_be_committed_is_given_again() -> None:
    """rule_L5: a command is moved on once, not once for each commit that fails."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(EntryState("pending", 0.5))
        timers, store = timers_of(clock, redis, [row()])
        assert await look(timers, store) == ()
        await clock.sleep(4.6)
        for _ in range(3):
            store.turns = [row()]
            assert await look(timers, store) == (Due(SAGA, 2, "timed_out"),)

    run_virtual(go)


@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_the_reconciler_repairs_only_what_is_left_when_all_outcomes_that_came_before_are_committed(
    delay: float,
) -> None:
    """rule_A11: the first stands for long, or others come all the time."""

    class Overdue(Looks):
        async def overdue(self, seconds: float, limit: int) -> list[StaleWait]:
            return [StaleWait(SAGA, "m", 2, "step", "a", None, 1, EPOCH, 100.0)]

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        first = 7

        async def unread() -> Unread | None:
            nonlocal first
            first += flowing
            found = outcomes(first, 10 + first)
            await stage.clock.sleep(delay)
            return found

        stage.sender.unread = unread  # type: ignore[method-assign]
        reconciler = Reconciler(stage.store, Overdue(), stage.engine, stage.clock, stage.sender)
        flowing = 0
        assert (await reconciler.run_once()).repaired == 0
        flowing = 11
        assert (await reconciler.run_once()).repaired == 1

    play(scene)

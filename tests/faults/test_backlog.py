"""Behind a backlog of outcomes every command seems lost: looking for them must not take the time of these."""

from collections.abc import Sequence

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from orchestrator import service
from sagas.inputs import Outcome, Start
from sagas.peek import Peek
from sagas.ports import WaitRow
from sagas.records import replace
from sagas.unread import FEW, Unread
from sagas.whereabouts import GONE, EntryState, Posted
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage, play
from tests.faults.test_judging import DUE, Redis, look, outcomes, row, timers_of
from tests.unit.test_decisions import SAGA


def test_behind_a_backlog_commands_are_checked_once_a_second_and_dates_at_every_look() -> None:
    """rule_L5."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [row()])
        redis.stand = outcomes(7, 9, 20.0)
        for _ in range(8):
            await look(timers, store, crowded=True)
            assert timers.pause_seconds == 0.25
            await clock.sleep(timers.pause_seconds)
        assert store.asked == [True, False, False, False] * 2
        redis.stand = None
        await look(timers, store)
        assert timers.pause_seconds == 0.0

    run_virtual(go)


def test_behind_a_backlog_checks_take_a_tenth_of_the_time_however_long_they_take() -> None:
    """rule_L5: nothing is applied meanwhile, neither outcomes nor dates; what nobody confirmed waits as well."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [row()])
        store.unconfirmed = [row(saga_id=TWIN, entry=None)]
        checked = list[float]()

        async def unread() -> Unread | None:
            checked.append(clock.monotonic())
            await clock.sleep(1.0)
            return outcomes(7, 9, 20.0)

        redis.unread = unread  # type: ignore[method-assign]
        while clock.monotonic() < 60.0:
            await look(timers, store, Peek(100.0, False, 90.0, 0.0), crowded=True)
            await clock.sleep(timers.pause_seconds)
        assert len(store.asked) > 100
        assert store.asked.count(True) == 3
        assert checked == [0.0, 1.0, *(pytest.approx(at, abs=0.5) for at in (20.0, 21.0, 40.0, 41.0))]

    run_virtual(go)


def test_behind_a_backlog_a_command_that_is_sent_is_looked_for_so_much_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """rule_L5: its outcome will be applied behind all that stand there."""
    monkeypatch.setattr(service, "READ", FEW + 1)

    async def scene(stage: Stage) -> None:
        await stage.sender.send([Outcome(TWIN, 3, 1, "a", None, "step", "failed")] * (4 * FEW))
        await stage.clock.sleep(12)
        await stage.orchestrator.turn()
        async with stage.publisher.running():
            await stage.clock.sleep(0.1)
            await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        (row,) = await stage.store.waits(SAGA)
        handler = MANIFEST.by_name["a"].handler
        assert handler is not None
        assert row.due_at - await stage.store.now() == pytest.approx(handler.timeout + 8 + 12, abs=0.1)

    play(scene)


@pytest.mark.parametrize(("seconds", "later"), [(0.0, 0.2), (20.0, 20.0), (1000.0, 30.0)])
def test_the_longer_outcomes_stand_unread_the_later_commands_are_looked_at_again(seconds: float, later: float) -> None:
    """rule_L5: behind a backlog all commands seem lost, and looking for them took the time that their outcomes need."""

    async def go() -> None:
        redis = Redis(GONE)
        timers, store = timers_of(LoopClock(), redis, [row()])
        redis.stand = outcomes(7, 9, seconds)
        assert await look(timers, store) == ()
        assert store.later == [later]

    run_virtual(go)


def test_a_check_that_was_held_up_for_long_puts_the_next_off_no_longer_than_the_backlog_lasts() -> None:
    """rule_K1: the reconciler repaired what was only queued; and half a minute is the most."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [row()])
        redis.stand = outcomes(7, 9, 20.0)
        inspect = redis.inspect

        async def held_up(rows: Sequence[WaitRow]) -> list[EntryState]:
            await clock.sleep(100.0)
            return await inspect(rows)

        redis.inspect = held_up  # type: ignore[method-assign, assignment]
        await look(timers, store, crowded=True)
        await clock.sleep(29.0)
        await look(timers, store, crowded=True)
        redis.stand = outcomes(8, 9, count=FEW)
        await look(timers, store)
        assert store.asked == [True, False, True]

    run_virtual(go)


def test_once_the_backlog_is_gone_commands_are_judged_at_once_again() -> None:
    """rule_L5, rule_K1: the date of the next check outlived it, and the reconciler found what was only put off."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [row()])
        redis.stand = outcomes(7, 9, 20.0)

        async def slow(rows: Sequence[Posted]) -> list[EntryState]:
            await clock.sleep(4.0)
            return [GONE for _ in rows]

        redis.inspect = slow  # type: ignore[method-assign, assignment]
        await look(timers, store, crowded=True)
        redis.stand, store.turns = None, []
        assert await look(timers, store) == ()
        store.turns = [row(saga_id=TWIN)]
        assert [word.saga_id for word in await look(timers, store, crowded=True)] == [TWIN]

    run_virtual(go)


def test_reads_that_are_not_full_are_no_reason_for_checks_while_the_backlog_lasts() -> None:
    """rule_L5: of two looks one had few outcomes to read; each set off a check, and nothing was applied meanwhile."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        timers, store = timers_of(clock, redis, [])
        redis.stand = outcomes(7, 900, 20.0)

        async def slow(rows: Sequence[Posted]) -> list[EntryState]:
            await clock.sleep(1.0)
            return [EntryState("queued", 10.0) for _ in rows]

        redis.inspect = slow  # type: ignore[method-assign, assignment]
        while clock.monotonic() < 60.0:
            store.turns = [row()]
            await look(timers, store, crowded=len(store.asked) % 2 == 0)
            await clock.sleep(timers.pause_seconds)
        assert len(store.asked) > 100
        assert store.asked.count(True) == 6

    run_virtual(go)


@pytest.mark.parametrize(("now", "later"), [(1.0, 18.0), (3.0, 30.0), (900.0, 60.0)])
def test_the_later_queued_commands_are_looked_at_the_longer_they_are_left_alone(now: float, later: float) -> None:
    """rule_L5, rule_K1: more are queued than can be looked at every eighteen seconds."""

    async def go() -> None:
        timers, store = timers_of(LoopClock(), Redis(EntryState("queued", 10.0)), [row()])
        await look(timers, store, replace(DUE, now=now))
        assert store.later == [later]

    run_virtual(go)


def test_what_is_over_is_looked_for_no_more() -> None:
    async def go() -> None:
        redis = Redis(GONE)
        timers, store = timers_of(LoopClock(), redis, [row()])
        redis.stand = outcomes(7, 9, 0.0)
        await look(timers, store)
        timers.over([(SAGA, 2)])
        redis.stand = outcomes(8, 12, 0.0)
        assert await look(timers, store) == (), "it is another command"
        assert len(store.later) == 2

    run_virtual(go)

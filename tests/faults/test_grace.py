"""After a time in which nothing could be written, what is due is left alone for a lease, and nothing hangs (A11)."""

import asyncio
from collections.abc import Sequence
from math import inf
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.inprocess import InProcessTransport
from orchestrator.grace import Grace
from sagas.events import StepScheduled
from sagas.inputs import Outcome, Start
from sagas.manifest import Manifest, Node, Priority
from sagas.peek import Peek
from sagas.ports import Command, Committed, CommitUnknown, Move, Published, StoreUnavailable
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage, play
from tests.faults.test_start_limits_on_virtual_time import failed_after, limited
from tests.unit.test_decisions import FAILED, SAGA

OTHER = SAGA[:-1] + "3"
LEASE_SECONDS = 4.0


@pytest.mark.parametrize("seconds", [3.0, 5.5, 6.0, 8.0, 9.9, 12.1, 20.0])
@pytest.mark.parametrize("begins", [0.0, 0.5])
@pytest.mark.parametrize("how", [
    "all writes fail", "answers of commits are lost", "a check is due meanwhile",
])  # fmt: skip
def test_what_workers_hold_is_not_swept_away_after_a_time_in_which_nobody_could_confirm_it(
    how: str, begins: float, seconds: float
) -> None:
    """rule_C1: they were judged lost all at once, and ran a second time."""

    async def scene(stage: Stage) -> None:
        worker = InProcessTransport(stage.broker, "w")
        await worker.open(["default"])
        keeper = worker.keeper(lambda _: None)

        async def hold(*saga_ids: str) -> None:
            await stage.engine.apply([Start(saga_id, MANIFEST, None) for saga_id in saga_ids])
            for delivery in await worker.read(2, 1.0):
                keeper.hold(delivery.entry)

        async def lose(moves: Sequence[Move]) -> Committed:
            if stage.store.full:
                raise CommitUnknown("the disk does not answer")
            return await append(moves)

        append = stage.store.append
        if how == "answers of commits are lost":
            vars(stage.store)["append"] = lose
        if how == "a check is due meanwhile":
            await hold(OTHER)
            (entry,) = stage.broker.entries
            await stage.store.confirm([Published(OTHER, 2, entry, 3.0)])
            stage.publisher.forget([(OTHER, 2)])
        await hold(SAGA, TWIN)
        stage.store.full = True
        confirming = asyncio.create_task(stage.publisher.run())
        await stage.clock.sleep(begins * seconds)
        running = asyncio.create_task(stage.run((1 - begins) * seconds + 8))
        await stage.clock.sleep((1 - begins) * seconds)
        stage.store.full = False
        await running
        confirming.cancel()
        keeper.close()
        assert [await stage.unknowns(saga_id) for saga_id in (SAGA, TWIN)] == [[], []]
        for saga_id in (SAGA, TWIN):
            assert [row.entry_id is not None for row in await stage.store.waits(saga_id)] == [True], "it is confirmed"

    play(scene)


def test_what_became_due_while_nothing_could_be_committed_gets_a_lease_of_grace_though_reading_worked() -> None:
    """rule_A11: a full disk, or a standby."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None), Start(TWIN, MANIFEST, None)])
        for saga_id in (SAGA, TWIN):
            wait = (await stage.store.waits(saga_id))[0]
            failed = Outcome(
                saga_id, wait.opened_by, 1, "a", None, "step", "failed", error={**FAILED, "retryable": True}
            )
            await stage.engine.apply([failed])
        stage.store.full = True
        running = asyncio.create_task(stage.run(66))
        await stage.clock.sleep(60)
        stage.store.full = False
        await stage.clock.sleep(4)
        statuses = [head.step("a").status for head in (await stage.store.heads([SAGA, TWIN])).values()]
        assert statuses == ["retrying", "retrying"]
        await running
        statuses = [head.step("a").status for head in (await stage.store.heads([SAGA, TWIN])).values()]
        assert statuses == ["scheduled", "scheduled"]

    play(scene)


def test_due_waits_are_left_alone_after_a_gap_without_looking_all_the_time() -> None:
    """rule_A11."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.tell("a", "failed", error={**FAILED, "retryable": True})
        stage.store.failing["due"] = 30
        task = asyncio.create_task(stage.orchestrator.run())
        await stage.clock.sleep(8)
        stage.store.failing["due"] = 0
        stage.store.looks = 0
        await stage.clock.sleep(4)
        assert stage.store.looks < 50
        stage.orchestrator.stop()
        await task

    play(scene)


def test_a_command_that_was_never_sent_is_found_after_a_failed_commit_and_an_outage_that_outlasts_its_check() -> None:
    """Inv 1: while nothing could be committed its row alone was looked at, and left to the sweep."""

    async def scene(stage: Stage) -> None:
        publish, peek, away = stage.publisher.publish, stage.store.peek, False

        async def lost(commands: Sequence[Command], decided_at: float) -> None:
            """As when the process is killed after its commit."""

        async def peeking() -> Peek:
            if away:
                raise StoreUnavailable("away")
            return await peek()

        stage.publisher.publish = lost  # type: ignore[method-assign]
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        stage.publisher.publish = publish  # type: ignore[method-assign]
        stage.store.peek = peeking  # type: ignore[method-assign]
        stage.store.failing["append"] = 1
        running = asyncio.create_task(stage.run(60))
        while stage.store.failing["append"]:
            await stage.clock.sleep(0.01)
        away = True
        await stage.clock.sleep(14)
        away = False
        await running
        assert (stage.store.failing["append"], await stage.unknowns(), stage.sent()) == (0, ["lost"], [("a", 2)])

    play(scene)


def test_limits_of_commands_that_waited_for_room_hold_though_the_first_commit_fails() -> None:
    """rule_L5, inv 1: the command that was taken back was due before its limit, and hid this and all others."""

    async def go() -> None:
        stage = Stage()

        async def full() -> list[tuple[str, Priority]]:
            return [("default", "normal")]

        stage.sender.refusing = True
        stage.sender.full = full  # type: ignore[method-assign]
        for seconds in (60.0, 70.0):
            await stage.store.put_manifest(limited(seconds))
        await stage.engine.apply([Start(SAGA, limited(60.0), None), Start(TWIN, limited(70.0), None)])
        running = asyncio.create_task(stage.run(90))
        await stage.clock.sleep(59)
        stage.store.failing["append"] = 1
        await running
        assert stage.store.failing["append"] == 0
        assert [await failed_after(stage, saga_id) for saga_id in (SAGA, TWIN)] == [
            [pytest.approx(60.0, abs=2.0)],
            [pytest.approx(70.0, abs=2.0)],
        ]
        assert [await stage.unknowns(saga_id) for saga_id in (SAGA, TWIN)] == [[], []]

    run_virtual(go)


def test_while_nothing_can_be_written_it_is_tried_four_times_a_second_at_most() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        failed = Outcome(SAGA, 2, 1, "a", None, "step", "failed", error={**FAILED, "retryable": True})
        await stage.engine.apply([failed])
        stage.store.full = True
        running = asyncio.create_task(stage.run(30))
        await stage.clock.sleep(5)
        stage.store.looks = 0
        await stage.clock.sleep(10)
        assert 30 < stage.store.looks <= 40
        stage.store.full = False
        await running
        assert (await stage.store.heads([SAGA]))[SAGA].step("a").status == "scheduled"

    play(scene)


def test_grace_is_given_once_something_was_written_after_a_gap_and_once_only() -> None:
    async def go() -> None:
        clock = LoopClock()
        grace = Grace(clock, LEASE_SECONDS)
        assert grace.doubtful
        grace.written()
        await clock.sleep(2)
        grace.refused()
        await clock.sleep(6)
        grace.looked()
        assert (grace.seconds, grace.doubtful) == (0.0, True), "that it can be read says nothing"
        grace.written()
        assert grace.seconds == LEASE_SECONDS
        await clock.sleep(LEASE_SECONDS)
        grace.looked()
        grace.written()
        assert (grace.seconds, grace.doubtful) == (0.0, False)

    run_virtual(go)


def test_a_proof_counts_once_it_has_ended_and_until_another_fails() -> None:
    async def go() -> None:
        clock = LoopClock()
        grace = Grace(clock, LEASE_SECONDS)
        assert grace.proof(10.0) == -inf
        for began in (100.0, 101.0, 102.0):
            grace.proved(began)
            await clock.sleep(1)
            grace.failed()
        assert [grace.proof(ended) for ended in (-1.0, 0.0, 1.5, 9.0)] == [-inf, 100.0, 101.0, 102.0]
        grace.refused()
        assert (grace.proof(9.0), grace.proven_at) == (-inf, -inf)

    run_virtual(go)


@pytest.mark.parametrize("seconds", [1.0, 2.2, 4.0])
@pytest.mark.parametrize("name", ["peek", "confirm", "append"])
def test_what_is_due_is_found_though_the_store_fails_for_an_instant_again_and_again(name: str, seconds: float) -> None:
    """Inv 1: the times between were taken for one gap, and all that was due had grace for ever."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None), Start(TWIN, MANIFEST, None)])
        stage.publisher.forget([(TWIN, 2)])
        failed = Outcome(SAGA, 2, 1, "a", None, "step", "failed", error={**FAILED, "retryable": True})
        await stage.engine.apply([failed])
        call: Any = getattr(stage.store, name)
        fails_at = stage.clock.monotonic()

        async def flickering(*words: Any) -> Any:
            nonlocal fails_at
            if stage.clock.monotonic() >= fails_at:
                fails_at += seconds
                raise StoreUnavailable("for an instant")
            return await call(*words)

        vars(stage.store)[name] = flickering
        await stage.run(12)
        assert (await stage.store.heads([SAGA]))[SAGA].step("a").status == "scheduled"
        assert "lost" in await stage.unknowns(TWIN)

    play(scene)


@pytest.mark.parametrize(
    ("names", "seconds"),
    [
        (["peek"], 3.5),
        (["prove_writable"], 5.1),
        (["unpublished"], 5.1),
        (["unpublished", "prove_writable"], 2.6),
        (["peek", "due", "unpublished", "prove_writable"], 1.8),
    ],
)
def test_what_is_due_and_what_was_never_sent_is_found_though_the_store_is_slow(
    names: Sequence[str], seconds: float
) -> None:
    """Inv 1: each look was a gap, after which all had grace."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None), Start(TWIN, MANIFEST, None)])
        stage.publisher.forget([(TWIN, 2)])
        failed = Outcome(SAGA, 2, 1, "a", None, "step", "failed", error={**FAILED, "retryable": True})
        await stage.engine.apply([failed])

        def slow(call: Any) -> Any:
            async def slowly(*words: Any, **more: Any) -> Any:
                await stage.clock.sleep(seconds)
                return await call(*words, **more)

            return slowly

        for name in names:
            vars(stage.store)[name] = slow(getattr(stage.store, name))
        await stage.run(50)
        history = await stage.store.history(SAGA)
        assert len([entry for entry in history if isinstance(entry.event, StepScheduled)]) > 1
        assert "lost" in await stage.unknowns(TWIN)

    play(scene)


@pytest.mark.parametrize("seconds", [1.0, 6.0, 12.0])
def test_dates_come_in_their_order_after_a_time_in_which_nothing_could_be_written(seconds: float) -> None:
    """A pause that ends before the deadline of its saga was judged behind it."""

    async def go() -> None:
        stage = Stage()
        pause = Manifest(
            name="m", nodes=(Node("p", "sleep", "sleep", length=10.0),), input="x", input_schema={}, deadline=12.0
        )
        await stage.store.put_manifest(pause)
        await stage.engine.apply([Start(SAGA, pause, None)])
        dates = [row.due_at for row in await stage.store.waits(SAGA)]
        running = asyncio.create_task(stage.run(40))
        await stage.clock.sleep(8)
        stage.store.full = True
        await stage.clock.sleep(seconds)
        assert [row.due_at for row in await stage.store.waits(SAGA)] == dates
        stage.store.full = False
        await running
        assert (await stage.store.heads([SAGA]))[SAGA].status == "completed"

    run_virtual(go)

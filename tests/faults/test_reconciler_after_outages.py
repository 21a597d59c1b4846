"""A reconciler leaves alone what orchestrators leave alone for a while after the store was away (rules A11, C1)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from reconciler.cycle import PATIENCE_SECONDS, SURE_SECONDS, Reconciler
from reconciler.evidence import Sight, StaleWait
from sagas.inputs import Outcome, Start
from sagas.manifest import Manifest
from sagas.ports import StoreUnavailable, WaitRow
from tests.faults.test_engine_on_virtual_time import MANIFEST, READS, TWIN, WRITES, Scene, Stage, play
from tests.faults.test_judging import Looks
from tests.unit.test_decisions import FAILED, SAGA, node


class Waits(Looks):
    """What is overdue, and what was never confirmed, of a store in memory."""

    def __init__(self, stage: Stage) -> None:
        self._store = stage.store

    async def overdue(self, seconds: float, limit: int) -> list[StaleWait]:
        """Those with a date."""
        now = await self._store.now()
        rows = await self._store.due(limit, commands=False)
        return [_stale(row, now - row.due_at) for row in rows if row.due_at < now - seconds]

    async def never_published(self, seconds: float, limit: int) -> list[StaleWait]:
        """Commands."""
        now = await self._store.now()
        return [_stale(row, now - row.since) for row in await self._store.unpublished(seconds, limit)]


@asynccontextmanager
async def _alone(lock: asyncio.Lock, sight: Sight) -> AsyncGenerator[Sight | None]:
    """A look while nobody else looks."""
    if lock.locked():
        yield None
        return
    async with lock:
        yield sight


def _stale(row: WaitRow, age: float) -> StaleWait:
    return StaleWait(row.saga_id, "m", row.opened_by, row.kind, row.step, None, row.attempt, row.since, age)


def reconciler_of(stage: Stage) -> Reconciler:
    return Reconciler(stage.store, Waits(stage), stage.engine, stage.clock, stage.sender)


async def never_confirmed(stage: Stage, count: int) -> list[str]:
    """Sagas whose first commands were sent by a process that is gone."""
    many = [SAGA[:-4] + f"{number:04x}" for number in range(count)]
    await stage.engine.apply([Start(saga_id, MANIFEST, None) for saga_id in many])
    stage.publisher.forget([(saga_id, 2) for saga_id in many])
    return many


async def repairs(stage: Stage) -> int:
    return sum(type(entry.event).__name__ == "RepairApplied" for entry in await stage.store.history(SAGA))


@pytest.mark.parametrize("sent", [True, False])
def test_no_command_is_repaired_that_is_confirmed_once_the_store_can_be_written(sent: bool) -> None:
    """rule_C1: they have stood unconfirmed for a minute, and workers hold them."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        if not sent:
            stage.publisher.forget([(SAGA, 2)])
        stage.store.full = True
        reconciler = reconciler_of(stage)
        async with stage.publisher.running():
            await stage.clock.sleep(60.1)
            with pytest.raises(StoreUnavailable):
                await reconciler.run_once()
            assert len((await reconciler.run_once(report_only=True)).findings) == 1
            stage.store.full = False
            report = await reconciler.run_once()
        assert (len(report.findings), report.repaired) == ((0, 0) if sent else (1, 1))

    play(scene)


async def with_reconciler(stage: Stage, manifest: Manifest, scene: Scene) -> None:
    """A scene with an orchestrator and a reconciler that have worked for a while; its saga starts with it."""
    await stage.store.put_manifest(manifest)
    reconciler = reconciler_of(stage)
    tasks = [asyncio.create_task(loop) for loop in (reconciler.run(), stage.orchestrator.run())]
    await stage.clock.sleep(20)
    await stage.engine.apply([Start(SAGA, manifest, None)])
    await scene(stage)
    reconciler.stop()
    stage.orchestrator.stop()
    await asyncio.gather(*tasks)


def no_date_is_repaired(how: str, *outages: float, between: float = 0.0) -> None:
    """A retry that becomes due in the first outage is the orchestrator's."""

    async def scene(stage: Stage) -> None:
        await stage.tell("a", "failed", error={**FAILED, "retryable": True})
        await stage.clock.sleep(25)
        for seconds in outages:
            setattr(stage.store, how, True)
            await stage.clock.sleep(seconds)
            setattr(stage.store, how, False)
            await stage.clock.sleep(between)
        await stage.clock.sleep(30)
        assert (await repairs(stage), stage.sent()[-1]) == (0, ("a", 2))

    slow = Manifest(name="m", nodes=(node("a", delays=(30.0,)),), input="x", input_schema={})
    play(lambda stage: with_reconciler(stage, slow, scene))


@pytest.mark.parametrize("seconds", [15.0 + x for x in range(15)])
def test_no_date_is_repaired_that_orchestrators_leave_alone_for_a_lease(seconds: float) -> None:
    """rule_A11: one that looked soon after an outage took it for a sign that no orchestrator works."""
    no_date_is_repaired("away", seconds)


@pytest.mark.parametrize("how", ["away", "full"])
@pytest.mark.parametrize("second", [4.5, 5.2, 5.6])
@pytest.mark.parametrize("between", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("first", [15.0, 18.5, 22.0, 26.0, 29.5])
def test_no_date_is_repaired_though_the_store_is_away_between_the_two_looks(
    first: float, between: float, second: float, how: str
) -> None:
    """rule_A11: the second look was in the grace after a second outage."""
    no_date_is_repaired(how, first, second, between=between)


def hang(stage: Stage, seconds: float) -> None:
    """All that the store is asked waits for so long, and is done then."""
    until = stage.clock.monotonic() + seconds
    for name in (*READS, *WRITES):

        async def late(*words: Any, work: Any = getattr(stage.store, name), **more: Any) -> Any:
            await stage.clock.sleep(max(until - stage.clock.monotonic(), 0.0))
            return await work(*words, **more)

        vars(stage.store)[name] = late


@pytest.mark.parametrize("hangs", [5.5, 7.0])
@pytest.mark.parametrize("between", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("first", [12.0 + x for x in range(20)])
def test_no_date_is_repaired_though_the_store_hangs_between_the_two_looks(
    first: float, between: float, hangs: float
) -> None:
    """rule_A11: what it answered at last was taken for six good seconds."""

    async def scene(stage: Stage) -> None:
        await stage.tell("a", "failed", error={**FAILED, "retryable": True})
        await stage.clock.sleep(25)
        stage.store.away = True
        await stage.clock.sleep(first)
        stage.store.away = False
        await stage.clock.sleep(between)
        hang(stage, hangs)
        await stage.clock.sleep(hangs + 30)
        assert (await repairs(stage), stage.sent()[-1]) == (0, ("a", 2))

    slow = Manifest(name="m", nodes=(node("a", delays=(30.0,)),), input="x", input_schema={})
    play(lambda stage: with_reconciler(stage, slow, scene))


@pytest.mark.parametrize("takes", [3.1, 8.0])
def test_a_store_that_is_always_slow_is_repaired_all_the_same(takes: float) -> None:
    """rule_K1: the reconciler waited without end for six seconds in which no write took three."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.tell("a", "failed", error={**FAILED, "retryable": True})
        await stage.clock.sleep(100)
        stage.store.takes = takes
        assert (await reconciler_of(stage).run_once()).repaired == 1

    play(scene)


@pytest.mark.parametrize("hangs", [7.0, 9.0, 12.0])
@pytest.mark.parametrize("due", [8.0, 9.0, 10.0, 12.0])
@pytest.mark.parametrize("begins", [0.2, 1.0])
def test_a_repair_whose_commit_hangs_proves_nothing_for_the_next(begins: float, due: float, hangs: float) -> None:
    """rule_A11: an orchestrator that began meanwhile gives its grace."""
    slow = Manifest(name="m", nodes=(node("a", delays=(due,)),), input="x", input_schema={})

    async def scene(stage: Stage) -> None:
        await stage.store.put_manifest(slow)
        await stage.engine.apply([Start(TWIN, MANIFEST, None)])
        stage.publisher.forget([(TWIN, 2)])  # never sent, and no orchestrator works
        reconciler = reconciler_of(stage)
        append: Any = stage.store.append
        repairing = asyncio.Event()

        async def hanging(moves: Any) -> Any:
            if moves[0].saga_id == TWIN and not repairing.is_set():
                repairing.set()
                hang(stage, hangs)
                await stage.clock.sleep(hangs)
            return await append(moves)

        vars(stage.store)["append"] = hanging
        tasks = [asyncio.create_task(reconciler.run())]
        await stage.clock.sleep(10)
        await stage.engine.apply([Start(SAGA, slow, None)])
        await stage.tell("a", "failed", error={**FAILED, "retryable": True})
        await repairing.wait()
        await stage.clock.sleep(begins)
        tasks.append(asyncio.create_task(stage.orchestrator.run()))
        await stage.clock.sleep(hangs + 20)
        reconciler.stop()
        stage.orchestrator.stop()
        await asyncio.gather(*tasks)
        assert await repairs(stage) == 0

    play(scene)


def test_commands_are_judged_just_before_their_own_batch_is_repaired() -> None:
    """rule_A11: of 2,000 the last were repaired seconds after all were looked for, and their outcomes had come."""

    async def scene(stage: Stage) -> None:
        many = await never_confirmed(stage, 2000)
        worker = stage.worker()
        await worker.open(["default"])
        held = await worker.read(5000, 1.0)
        await stage.clock.sleep(60)
        append: Any = stage.store.append
        ended = set(many[-20:])

        async def slowly(moves: Any) -> Any:
            if held:
                commands = [delivery.command for delivery in held if delivery.command.saga_id in ended]
                held.clear()
                await worker.send([
                    Outcome(command.saga_id, command.opened_by, 1, "a", None, "step", "succeeded")
                    for command in commands
                ])  # fmt: skip
            return await append(moves)

        vars(stage.store)["append"] = slowly
        assert (await reconciler_of(stage).run_once()).repaired == len(many) - len(ended)

    play(scene)


def test_where_outcomes_lie_unread_commands_are_looked_for_once_in_a_look() -> None:
    """rule_K1: a second of patience with each batch would make the dates of the next look late."""

    async def scene(stage: Stage) -> None:
        many = await never_confirmed(stage, 3000)
        await stage.clock.sleep(61)
        worker = stage.worker()
        await worker.send([Outcome(saga_id, 2, 1, "a", None, "step", "succeeded") for saga_id in many[:100]])
        began = stage.clock.monotonic()
        assert (await reconciler_of(stage).run_once()).repaired == 0
        assert stage.clock.monotonic() - began < SURE_SECONDS + 2 * PATIENCE_SECONDS

    play(scene)


@pytest.mark.parametrize("reconcilers", [1, 3])
def test_much_that_is_overdue_is_repaired_soon_where_no_orchestrator_works(reconcilers: int) -> None:
    """rule_K1: each waited before each batch, as it was another that had repaired the one before."""

    async def scene(stage: Stage) -> None:
        await never_confirmed(stage, 3000)
        lock = asyncio.Lock()
        for _ in range(reconcilers):
            sight = Waits(stage)
            vars(sight)["look"] = partial(_alone, lock, sight)
            reconciler = Reconciler(stage.store, sight, stage.engine, stage.clock, stage.sender)
            tasks.append((reconciler, asyncio.create_task(reconciler.run())))
        await stage.clock.sleep(30)
        assert len([row for row in await stage.store.unpublished(0.0, 5000) if row.attempt == 1]) == 0
        for reconciler, _ in tasks:
            reconciler.stop()
        await asyncio.gather(*(task for _, task in tasks))

    tasks: list[tuple[Reconciler, asyncio.Task[None]]] = []
    play(scene)


@pytest.mark.parametrize("seconds", [21.0, 22.3, 22.4, 23.0, 37.3, 37.4, 40.0])
def test_no_deadline_is_repaired_while_an_outcome_that_came_in_time_waits_to_be_applied(seconds: float) -> None:
    """rule_A11: the saga turned back though its last step had succeeded."""

    async def scene(stage: Stage) -> None:
        await stage.clock.sleep(2.5)
        stage.store.away = True
        await stage.clock.sleep(2)
        worker = stage.worker()
        await worker.open(["default"])
        await worker.send([Outcome(SAGA, 2, 1, "a", None, "step", "succeeded")])
        await stage.clock.sleep(seconds - 2)
        stage.store.away = False
        await stage.clock.sleep(30)
        assert (await stage.store.heads([SAGA]))[SAGA].status == "completed"
        assert await repairs(stage) == 0

    manifest = Manifest(name="m", nodes=(node("a"),), input="x", input_schema={}, deadline=10.0)
    play(lambda stage: with_reconciler(stage, manifest, scene))


def test_one_that_is_stopped_while_it_waits_repairs_nothing() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        stage.publisher.forget([(SAGA, 2)])
        await stage.clock.sleep(60)
        reconciler = reconciler_of(stage)
        looking = asyncio.create_task(reconciler.run_once())
        await stage.clock.sleep(1)
        reconciler.stop()
        began = stage.clock.monotonic()
        assert (await looking).repaired == 0
        assert stage.clock.monotonic() - began < 1

    play(scene)

"""Commands that nobody confirmed: only those are swept that nobody could have (rule C1)."""

import asyncio
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.inprocess import InProcessKeeper, InProcessTransport
from orchestrator.grace import Grace
from sagas.inputs import Outcome, Start
from sagas.manifest import Manifest
from sagas.ports import CommitUnknown, Published, StoreUnavailable
from sagas.records import replace
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage, play
from tests.unit.test_decisions import SAGA, node

OTHER = SAGA[:-1] + "3"


@pytest.mark.parametrize("seconds", [0.0, 1.5, 2.2])
def test_what_is_confirmed_while_other_commands_are_looked_for_is_not_swept(seconds: float) -> None:
    """rule_C1: the list of those that nobody had confirmed was two seconds old."""

    async def scene(stage: Stage) -> None:
        worker = InProcessTransport(stage.broker, "w")
        await worker.open(["default"])
        await stage.engine.apply([Start(OTHER, MANIFEST, None), Start(SAGA, MANIFEST, None)])
        keeper = worker.keeper(lambda _: None)
        for delivery in await worker.read(2, 1.0):
            keeper.hold(delivery.entry)
        entry = next(iter(stage.broker.entries))
        await stage.store.confirm([Published(OTHER, 2, entry, 5.2)])
        stage.publisher.forget([(OTHER, 2)])
        inspect: Any = stage.sender.inspect

        async def slowly(rows: Any) -> Any:
            await stage.clock.sleep(seconds)
            return await inspect(rows)

        vars(stage.sender)["inspect"] = slowly
        vars(stage.publisher)["_unconfirmed"][SAGA, 2] = replace(
            vars(stage.publisher)["_unconfirmed"][SAGA, 2], at=stage.clock.monotonic() + 5.4
        )
        stage.store.full = True
        running = asyncio.create_task(stage.run(12))
        await stage.clock.sleep(4.9)
        stage.store.full = False
        await running
        keeper.close()
        assert await stage.unknowns() == []

    play(scene)


async def held(stage: Stage) -> InProcessKeeper:
    """A saga whose first command a worker holds."""
    worker = stage.worker()
    await worker.open(["default"])
    await stage.engine.apply([Start(SAGA, MANIFEST, None)])
    keeper = worker.keeper(lambda _: None)
    for delivery in await worker.read(2, 1.0):
        keeper.hold(delivery.entry)
    return keeper


async def outages(stage: Stage, *lengths: float, between: float) -> None:
    """The store is away so often, each time for so long."""
    for seconds in lengths:
        stage.store.away = True
        await stage.clock.sleep(seconds)
        stage.store.away = False
        await stage.clock.sleep(between)


@pytest.mark.parametrize("second", [1.0, 1.4, 1.5, 2.0, 3.0, 4.8])
@pytest.mark.parametrize("between", [0.3, 0.8])
@pytest.mark.parametrize("first", [2.5, 3.5])
@pytest.mark.parametrize("begins", [0.1, 0.9])
def test_what_was_proved_between_two_outages_proves_nothing_after_the_second(
    begins: float, first: float, between: float, second: float
) -> None:
    """rule_C1: the instant between was enough for a proof, not for who confirms each second."""

    async def scene(stage: Stage) -> None:
        running = asyncio.create_task(stage.run(30 + first + second))
        await stage.clock.sleep(10)
        keeper = await held(stage)
        await stage.clock.sleep(begins)
        await outages(stage, first, second, between=between)
        await running
        keeper.close()
        assert await stage.unknowns() == []

    play(scene)


@pytest.mark.parametrize("second", [1.1, 1.2, 1.3, 1.4])
@pytest.mark.parametrize("between", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("first", [2.5, 3.0, 3.5])
@pytest.mark.parametrize("begins", [0.1, 0.5, 0.9])
def test_who_confirms_tries_again_soon_after_a_failure(
    begins: float, first: float, between: float, second: float
) -> None:
    """rule_C1: a busy orchestrator sees how short an outage was, and keeps its proofs; who confirms waited on."""
    one = Manifest(name="one", nodes=(node("a"),), input="x", input_schema={})
    others = [SAGA[:-4] + f"{number:04x}" for number in range(0x200, 0x300)]

    async def scene(stage: Stage) -> None:
        await stage.store.put_manifest(one)
        running = asyncio.create_task(stage.run(40))
        await stage.engine.apply([Start(saga_id, one, None) for saga_id in others])
        worker = stage.worker()
        await worker.open(["default"])
        await worker.settle([delivery.entry for delivery in await worker.read(1000, 1.0)])

        async def traffic() -> None:
            for saga_id in others:
                await worker.send([Outcome(saga_id, 2, 1, "a", None, "step", "succeeded")])
                await stage.clock.sleep(0.05)

        await stage.clock.sleep(10)
        busy = asyncio.create_task(traffic())
        keeper = await held(stage)
        await stage.clock.sleep(begins)
        await outages(stage, first, second, between=between)
        await asyncio.gather(running, busy)
        keeper.close()
        assert await stage.unknowns() == []

    play(scene)


@pytest.mark.parametrize("answer", [1.5, 2.4])
@pytest.mark.parametrize("begins", [2.8, 3.1, 3.4, 3.7])
@pytest.mark.parametrize("hangs", [1.8, 2.5, 3.5, 4.5])
def test_a_commit_whose_answer_is_lost_undoes_proofs_though_it_is_made_again_at_once(
    hangs: float, begins: float, answer: float
) -> None:
    """rule_C1: a connection hung and broke, also for who confirms."""

    async def scene(stage: Stage) -> None:
        publish: Any = stage.sender.publish

        async def slowly(*words: Any) -> Any:
            sent = await publish(*words)
            await stage.clock.sleep(answer)
            return sent

        running = asyncio.create_task(stage.run(40))
        await stage.clock.sleep(10)
        await stage.engine.apply([Start(TWIN, MANIFEST, None)])
        worker = stage.worker()
        await worker.open(["default"])
        await worker.settle([delivery.entry for delivery in await worker.read(1, 1.0)])
        await stage.clock.sleep(3)
        vars(stage.sender)["publish"] = slowly
        starting = asyncio.create_task(held(stage))
        await stage.clock.sleep(begins)
        vars(stage.sender)["publish"] = publish
        breaks(stage, hangs)
        await worker.send([Outcome(TWIN, 2, 1, "a", None, "step", "succeeded")])
        keeper = await starting
        await running
        keeper.close()
        assert await stage.unknowns() == []

    play(scene)


def breaks(stage: Stage, seconds: float) -> None:
    """Connections hang for so long, and then they break."""
    until = stage.clock.monotonic() + seconds
    for name, loss in (("append", CommitUnknown("reset")), ("confirm", StoreUnavailable("reset"))):

        async def hangs(words: Any, work: Any = getattr(stage.store, name), loss: Exception = loss) -> Any:
            if (left := until - stage.clock.monotonic()) > 0:
                await stage.clock.sleep(left)
                raise loss
            return await work(words)

        vars(stage.store)[name] = hangs


@pytest.mark.parametrize("length", [1.0, 1.5, 2.5, 4.8])
@pytest.mark.parametrize("begins", [3.0, 3.2, 3.5, 3.8])
@pytest.mark.parametrize("answer", [1.5, 2.9])
@pytest.mark.parametrize("takes", [0.0, 0.001, 0.01])
def test_a_proof_before_an_outage_proves_nothing_after_it(
    takes: float, answer: float, begins: float, length: float
) -> None:
    """rule_C1: the transport answered late, so its sender could not confirm before."""

    async def scene(stage: Stage) -> None:
        stage.store.takes = takes
        publish: Any = stage.sender.publish

        async def slowly(*words: Any) -> Any:
            sent = await publish(*words)
            await stage.clock.sleep(answer)
            return sent

        vars(stage.sender)["publish"] = slowly
        running = asyncio.create_task(stage.run(40))
        await stage.clock.sleep(10)
        starting = asyncio.create_task(held(stage))
        await stage.clock.sleep(begins)
        stage.store.away = True
        await stage.clock.sleep(length)
        stage.store.away = False
        keeper = await starting
        await running
        keeper.close()
        assert await stage.unknowns() == []

    play(scene)


def test_proofs_are_forgotten_though_each_look_fails() -> None:
    clock = LoopClock()

    async def go() -> None:
        grace = Grace(clock, 4.0)
        for _ in range(1000):
            grace.failed()
            await clock.sleep(0.25)
            grace.proved(clock.monotonic())
            grace.written()
        assert len(vars(grace)["_proofs"]) < 100
        assert grace.proof(clock.monotonic() - 2.0) > clock.monotonic() - 2.5

    run_virtual(go)

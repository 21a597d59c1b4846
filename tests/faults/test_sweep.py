"""Commands that nobody confirmed: only those are swept that nobody could have (rule C1)."""

import asyncio
from typing import Any

import pytest

from consumers.inprocess import InProcessTransport
from sagas.inputs import Start
from sagas.ports import Published
from sagas.records import replace
from tests.faults.test_engine_on_virtual_time import MANIFEST, Stage, play
from tests.unit.test_decisions import SAGA

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

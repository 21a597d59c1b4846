"""Who had no answer asks again, under the same id: what was done is not done twice (rules A1, A7)."""

import asyncio
from collections.abc import Sequence

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from sagas.inputs import Send, Start
from sagas.manifest import Manifest, Node
from sagas.ports import StoreUnavailable
from sagas.state import State
from tests.unit.test_decisions import SAGA

MANIFEST = Manifest(
    name="m",
    nodes=(Node("go", "signal", "signal", timeout=60.0, on_timeout="compensate"),),
    input="x",
    input_schema={},
)


class AwayAfterwards(MemoryStore):
    """The answer of a commit is lost, and then the store is away."""

    away = False

    async def heads(self, saga_ids: Sequence[str]) -> dict[str, State]:
        """The heads, unless it is away."""
        if self.away and self._lose == []:
            self.away = False
            raise StoreUnavailable("away")
        return await super().heads(saga_ids)


def test_a_signal_whose_sender_had_no_answer_counts_once() -> None:
    async def drive() -> None:
        loop = asyncio.get_running_loop()
        store = AwayAfterwards(loop.time)
        engine = Engine(store, LoopClock())
        await engine.apply([Start(SAGA, MANIFEST, None)])
        word = Send(SAGA, "go", "yes", "key-1")
        store.lose_next_commit(happened=True)
        store.away = True
        with pytest.raises(StoreUnavailable):
            await engine.apply([word])
        (answer,) = await engine.apply([word])
        head = (await store.heads([SAGA]))[SAGA]
        assert (answer.code, head.step("go").signals) == ("nothing", 1)

    run_virtual(drive)

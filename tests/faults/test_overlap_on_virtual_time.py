"""Two batches of an orchestrator under way at once, and its end (decision 0029)."""

from collections.abc import Sequence

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.inprocess import Broker, InProcessTransport
from eventstore.memory import MemoryStore
from orchestrator.engine import Applied, Engine
from orchestrator.publisher import Publisher
from orchestrator.service import OVERLAP_FROM, Orchestrator
from sagas.inputs import Input, Outcome


class Wrong(Engine):
    """Its first batch takes a second, its second has an error that nobody expects."""

    begun = 0
    ended = 0

    async def append(self, inputs: Sequence[Input]) -> Applied:
        """Append, or not."""
        self.begun += 1
        if self.begun == 2:
            raise ZeroDivisionError("ours")
        await self._clock.sleep(1.0)
        applied = await super().append(inputs)
        self.ended += 1
        return applied


def test_an_error_that_ends_it_leaves_no_other_batch_under_way() -> None:
    """rule_C1: what that one sends is confirmed before the process goes."""

    async def drive() -> None:
        clock, broker = LoopClock(), Broker()
        store, sender = MemoryStore(clock.monotonic), InProcessTransport(broker, "o1")
        publisher = Publisher(store, sender, clock, 4.0)
        engine = Wrong(store, clock, publisher)
        orchestrator = Orchestrator(store, sender, clock, engine, publisher, OVERLAP_FROM)
        await orchestrator.turn()
        sagas = [f"01900000-0000-7000-8000-{number:012d}" for number in range(2 * OVERLAP_FROM)]
        await sender.send([Outcome(saga, 2, 1, "a", None, "step", "succeeded") for saga in sagas])
        with pytest.raises(ZeroDivisionError):
            await orchestrator.run()
        assert (engine.begun, engine.ended) == (2, 1)

    run_virtual(drive)

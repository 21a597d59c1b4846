"""A start that is asked for again finds its saga, also when its input was corrected meanwhile (def_R23)."""

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from orchestrator.payloads import Limits
from sagas.events import Json
from sagas.inputs import Correct, Start
from sagas.manifest import Manifest
from tests.unit.test_decisions import SAGA, node

OTHER = SAGA[:-1] + "2"
MANIFEST = Manifest(name="m", nodes=(node("a"),), input="x", input_schema={})


@pytest.mark.parametrize("size", [1, 300, 3000], ids=["in the head", "in the event", "in a payload"])
def test_a_start_is_known_by_the_input_that_it_had_and_by_the_one_that_is_right(size: int) -> None:
    async def drive() -> None:
        store = MemoryStore(lambda: 1_767_225_600.0)
        engine = Engine(store, LoopClock(), limits=Limits(inline_bytes=1000))

        async def start(saga_id: str, value: Json) -> str:
            (answer,) = await engine.apply([Start(saga_id, MANIFEST, value, key="k")])
            return answer.code

        wrong, right = "w" * size, "r" * size
        assert await start(SAGA, wrong) == "created"
        await engine.apply([Correct(SAGA, "typo", "c1", value=right)])
        assert [await start(OTHER, value) for value in (wrong, right, "another")] == ["known", "known", "conflict"]

    run_virtual(drive)

"""A verdict of a command holds for a moment: whoever decides it later, or again, looks for its outcome anew (A11)."""

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.engine import Engine
from sagas.inputs import Due, Repair, Start, Started
from sagas.ports import Committed, Move
from tests.faults.test_engine_on_virtual_time import MANIFEST, Stage, play
from tests.unit.test_decisions import SAGA

OTHER = "01900000-0000-7000-8000-00000000000f"


@pytest.mark.parametrize("verdict", [Due(SAGA, 2, "lost"), Due(SAGA, 2, "timed_out"), Repair(SAGA, 2, "wait overdue")])
def test_a_verdict_that_loses_its_race_is_not_decided_again_without_another_look(verdict: Due | Repair) -> None:
    """rule_A11: a slow commit was outrun, and its outcome had come meanwhile (found by seed 17258)."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        append = stage.store.append

        async def outrun(moves: Sequence[Move]) -> Committed:
            stage.store.append = append  # type: ignore[method-assign]
            await Engine(stage.store, stage.clock).apply([Started(SAGA, 2, 1, "a", None, 1.0)])
            return await append(moves)

        stage.store.append = outrun  # type: ignore[method-assign]
        (answer,) = await stage.engine.apply([verdict])
        assert answer.code == "nothing"
        assert await stage.unknowns() == []
        assert (await stage.engine.apply([verdict]))[0].code == "accepted"

    play(scene)


@pytest.mark.parametrize("slow", ["start", "put_payloads", "heads"])
@pytest.mark.parametrize("verdict", [Due(SAGA, 2, "lost"), Repair(SAGA, 2, "wait overdue")])
def test_a_verdict_is_not_decided_long_after_its_outcome_was_looked_for(verdict: Due | Repair, slow: str) -> None:
    """rule_A11: others of its batch were committed first, and took long; its outcome came (found by seed 4400908)."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        known: Any = getattr(stage.store, slow)

        async def slowly(*arguments: Any, **more: Any) -> Any:
            await stage.clock.sleep(2.0)
            return await known(*arguments, **more)

        setattr(stage.store, slow, slowly)
        stage.engine.forget_heads()
        words = [verdict, Start(OTHER, MANIFEST, {"text": "x" * 9000})]
        judged, started = await stage.engine.apply(words, seen_at=stage.clock.monotonic())
        assert (judged.code, started.code) == ("nothing", "created")
        assert await stage.unknowns() == []
        setattr(stage.store, slow, known)
        (again,) = await stage.engine.apply([verdict], seen_at=stage.clock.monotonic())
        assert again.code == "accepted"

    play(scene)

"""Holds on virtual time: what a saga waits for is due as much later, whatever became of its rows (rule B7)."""

import pytest

from sagas.inputs import Hold, Release, Start
from sagas.ports import StoreUnavailable
from tests.faults.test_engine_on_virtual_time import MANIFEST, Stage, play
from tests.unit.test_decisions import FAILED, SAGA


async def away(moved: object) -> None:
    raise StoreUnavailable("away")


def test_after_a_long_hold_nothing_is_due_too_early_though_its_dates_were_not_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """rule_B7: a row that a release did not reach is moved on when it is found."""

    async def scene(stage: Stage, *, lost: bool) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.tell("a", "failed", error={**FAILED, "retryable": True})
        await stage.engine.apply([Hold(SAGA, "look", "h")])
        await stage.clock.sleep(95)
        if lost:
            monkeypatch.setattr(stage.store, "set_due", away)
        await stage.engine.apply([Release(SAGA, "go", "r")])
        (row,) = await stage.store.waits(SAGA)
        (wait,) = stage.store.head(SAGA).waits.values()
        assert (row.due_at == wait.due_at) == (not lost)
        await stage.run(9)
        assert (await stage.store.history(SAGA))[-1].at >= (wait.due_at or 0.0)
        assert stage.sent() == [("a", 1), ("a", 2)]

    play(lambda stage: scene(stage, lost=False))
    play(lambda stage: scene(stage, lost=True))

"""Verdicts on commands are as good as the look for their outcomes: what comes in between is said here (rule A11)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from orchestrator.engine import Engine
from orchestrator.timers import WhatIsDue
from sagas.inputs import Due, Outcome, Repair, Start, Started
from sagas.manifest import Manifest
from sagas.peek import Peek
from sagas.ports import Committed, Move, WaitRow
from sagas.whereabouts import GONE, EntryState
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage, play
from tests.faults.test_judging import Redis, outcomes, row, timers_of
from tests.unit.test_decisions import FAILED, SAGA, node

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


@pytest.mark.parametrize("slow", ["unpublished", "postpone"])
def test_nothing_slow_comes_between_a_look_for_outcomes_and_its_verdict(slow: str) -> None:
    """rule_A11: some are put off since they are queued, others were never confirmed; an outcome came meanwhile."""

    async def go() -> None:
        clock, redis = LoopClock(), Redis(GONE)
        redis.stand = outcomes(1, 1, count=1)
        timers, store = timers_of(clock, redis, [row(), row(saga_id=TWIN)])
        ask: Any = getattr(store, slow)

        async def inspect(waits: Sequence[WaitRow]) -> list[EntryState]:
            return [GONE if wait.saga_id == SAGA else EntryState("queued", 1.0) for wait in waits]

        async def asking(*words: Any) -> Any:
            redis.told.add((SAGA, 2))
            return await ask(*words)

        redis.inspect = inspect  # type: ignore[method-assign, assignment]
        setattr(store, slow, asking)
        due = await timers.due(Peek(100.0, False, 90.0, 0.0))
        assert redis.told == {(SAGA, 2)}
        assert due.words == ()
        assert [key for *key, _ in due.unsure] == [[SAGA, 2]]

    run_virtual(go)


def test_large_results_are_stored_before_outcomes_are_looked_for() -> None:
    """rule_A11: storing them took long, and an outcome came that had not stood there."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None), Start(TWIN, MANIFEST, None)])
        await stage.sender.send([Outcome(TWIN, 2, 1, "a", None, "step", "succeeded", result="x" * 10_000)])
        turning: Any = stage.orchestrator
        put, order = stage.store.put_payloads, list[str]()

        async def storing(payloads: Mapping[str, bytes]) -> None:
            order.append("stored")
            await put(payloads)

        async def due(*_: object, **__: object) -> WhatIsDue:
            order.append("looked")
            return WhatIsDue((Due(SAGA, 2, "lost"),))

        turning._timers.due, turning._look_at = due, 0.0
        stage.store.put_payloads = storing  # type: ignore[method-assign]
        await turning.turn()
        assert order == ["stored", "looked"]
        assert await stage.unknowns() == ["lost"]
        assert (await stage.store.heads([TWIN]))[TWIN].step("a").status == "succeeded"

    play(scene)


def test_outcomes_in_hand_are_decided_before_verdicts() -> None:
    """rule_A11: a lost step went out once more in the very turn in which its saga turned back."""

    async def scene(stage: Stage) -> None:
        both = Manifest(name="m", nodes=(node("a"), node("b")), input="x", input_schema={})
        await stage.store.put_manifest(both)
        await stage.engine.apply([Start(SAGA, both, None)])
        waits = {wait.step: wait for wait in (await stage.store.heads([SAGA]))[SAGA].waits.values()}
        await stage.sender.send([Outcome(SAGA, waits["b"].opened_by, 1, "b", None, "step", "failed", error=FAILED)])
        turning: Any = stage.orchestrator

        async def due(*_: object, **__: object) -> WhatIsDue:
            return WhatIsDue((Due(SAGA, waits["a"].opened_by, "lost"),))

        turning._timers.due, turning._look_at = due, 0.0
        await turning.turn()
        assert (await stage.store.heads([SAGA]))[SAGA].status == "compensating"
        assert await stage.unknowns() == ["lost"]
        assert ("a", 2) not in stage.sent()

    play(scene)


def test_a_verdict_is_committed_before_sagas_are_started() -> None:
    """rule_A11: starts were committed first, and took long; its outcome came meanwhile (found by seed 4400908)."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        turning: Any = stage.orchestrator
        start, asked = stage.store.start, list[Sequence[str]]()

        async def due(*_: object, **__: object) -> WhatIsDue:
            return WhatIsDue((Due(SAGA, 2, "lost"),))

        async def messages(_: object) -> list[tuple[WaitRow, Start]]:
            return [(row(), Start(OTHER, MANIFEST, None))]

        async def starting(moves: Sequence[Move], connection: object | None = None) -> Committed:
            asked.append(await stage.unknowns())
            return await start(moves, connection)

        turning._timers.due, turning._messages.words = due, messages
        stage.store.start = starting  # type: ignore[method-assign]
        await turning.turn()
        assert asked == [["lost"]]
        assert (await stage.store.heads([OTHER])).keys() == {OTHER}

    play(scene)

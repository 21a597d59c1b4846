"""Verdicts on commands are as good as the look for their outcomes: what comes in between is said here (rule A11)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from orchestrator.engine import Engine
from orchestrator.timers import Judged, WhatIsDue
from sagas.inputs import Due, Outcome, Repair, Start, Started
from sagas.manifest import Manifest
from sagas.peek import Peek
from sagas.ports import Committed, Move, WaitRow
from sagas.state import Waiting
from sagas.whereabouts import GONE, EntryState
from tests.faults.test_engine_on_virtual_time import MANIFEST, TWIN, Stage, play
from tests.faults.test_judging import Redis, outcomes, row, timers_of
from tests.faults.test_newer_events import write_newer
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
        judged = await timers.judged(await timers.due(Peek(100.0, False, 90.0, 0.0)))
        assert redis.told == {(SAGA, 2)}
        assert judged.words == ()
        assert [key for *key, _ in judged.unsure] == [[SAGA, 2]]

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

        judge = turning._timers.judged

        async def judged(_: WhatIsDue) -> Judged:
            order.append("looked")
            found: Judged = await judge(WhatIsDue(suspects={(SAGA, 2): "lost"}))
            return found

        turning._timers.judged, turning._look_at = judged, 0.0
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
            return WhatIsDue(suspects={(SAGA, waits["a"].opened_by): "lost"})

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
            return WhatIsDue(suspects={(SAGA, 2): "lost"})

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


def test_in_one_turn_a_newer_outcome_is_left_others_are_done_with_and_what_is_unsure_is_put_off_last() -> None:
    """rule_A11, rule_C5: each answer belongs to its own word, whatever comes behind it."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(saga_id, MANIFEST, None) for saga_id in (SAGA, TWIN, OTHER)])
        write_newer(stage)
        await stage.sender.send([Outcome(saga_id, 2, 1, "a", None, "step", "succeeded") for saga_id in (SAGA, TWIN)])
        turning: Any = stage.orchestrator
        append, postpone, order = stage.store.append, stage.store.postpone, list[str]()

        async def due(*_: object, **__: object) -> WhatIsDue:
            return WhatIsDue((Due(OTHER, 99),), suspects={(OTHER, 2): "lost"})

        async def appending(moves: Sequence[Move]) -> Committed:
            order.append("appended")
            return await append(moves)

        async def putting_off(waits: Sequence[tuple[str, int, float]]) -> None:
            order.append("put off")
            assert [saga_id for saga_id, _, _ in waits] == [OTHER]
            await postpone(waits)

        async def told_of(waits: object) -> set[Waiting]:
            return {(OTHER, 2)}

        turning._timers.due, turning._look_at = due, 0.0
        stage.sender.told_of = told_of  # type: ignore[method-assign]
        stage.store.append = appending  # type: ignore[method-assign]
        stage.store.postpone = putting_off  # type: ignore[method-assign]
        await turning.turn()
        assert order == ["appended", "put off"]
        assert turning._look_at <= stage.clock.monotonic() + 0.01, "what follows may be due at once"
        assert await stage.unknowns(OTHER) == []
        assert (await stage.store.heads([TWIN]))[TWIN].step("a").status == "succeeded"
        assert [left.word.saga_id for _, _, left in stage.broker.pending_words.values()] == [SAGA]

    play(scene)

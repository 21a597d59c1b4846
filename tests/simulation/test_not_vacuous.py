"""A run tells which of its faults had no effect; a batch that never tried what it promises fails."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from typer.testing import CliRunner

from amends import Retry, Saga, days
from amends.cli.app import app
from amends.testing.simulator import batch, promises
from amends.testing.simulator.faults import Faults
from amends.testing.simulator.promises import ENOUGH_SEEDS, OF_ANY_SAGAS, promised
from amends.testing.simulator.script import AT_HOSTS, AT_SERVERS, REFUSALS, Fault, FaultKind, Script, draw
from amends.testing.simulator.system import Result, simulate
from amends.testing.simulator.trace import marker_of
from amends.testing.simulator.workload import Job, Word
from sagas.events import TimerFired

SAGAS = batch.sagas_of([])
NEEDS_WORK: tuple[FaultKind, ...] = (
    "trim", "outcome twice", "delete consumers", "clash", "slow commits", "lose answers of database",
    "lose requests to database", "cut database", "streams refuse",
)  # fmt: skip


def played(*faults: Fault, sagas: bool = True) -> Result:
    """A run with these faults alone."""
    script: Script = draw(7, len(SAGAS))
    if not sagas:
        script = replace(script, sagas=(), requests=(), reconcilers=0)
    return simulate(replace(script, faults=faults), SAGAS)


@pytest.mark.parametrize("kind", NEEDS_WORK)
def test_a_fault_that_hits_nothing_has_no_effect(kind: FaultKind) -> None:
    host = "api1" if kind in AT_HOSTS else ""
    run = played(Fault(3.0, kind, host, seconds=0.1), sagas=False)
    assert (run.fired, run.idle) == ({}, {kind: 1})


def test_a_pause_in_which_a_process_would_have_done_nothing_has_no_effect() -> None:
    assert played(Fault(3.0, "pause", "api1", seconds=0.0001), sagas=False).idle == {"pause": 1}
    assert played(Fault(3.0, "pause", "orchestrator1", seconds=3.0), sagas=False).fired == {"pause": 1}


def test_a_fault_that_hits_something_counts() -> None:
    kinds: tuple[FaultKind, ...] = ("lose answers of database", "slow commits", "clash", "outcome twice", "trim")
    run = played(*(Fault(1.2 + place / 9, kind, "worker1" if kind in AT_HOSTS else "", 1.0, 3)
                   for place, kind in enumerate(kinds)))  # fmt: skip
    assert (run.fired, run.idle) == (dict.fromkeys(kinds, 1), {})


def test_a_fault_that_never_happened_had_no_effect() -> None:
    run = played(Fault(3.0, "pause", "worker1", seconds=60.0), Fault(4.0, "kill", "worker1"), sagas=False)
    assert (run.fired, run.idle) == ({"pause": 1}, {"kill": 1})


def test_a_single_seed_names_the_faults_that_had_no_effect(tmp_path: Path) -> None:
    script = replace(draw(7, len(SAGAS)), sagas=(), requests=(), faults=(Fault(1.0, "trim"), Fault(2.0, "trim")))
    (tmp_path / "script.json").write_bytes(script.to_json())
    told = CliRunner().invoke(app, ["simulate", "--script", str(tmp_path / "script.json")])
    assert (told.exit_code, told.output.splitlines()[1:]) == (0, ["  faults that had no effect: trim (2)"])


def nothing(faults: Faults, key: str, count: int) -> int:
    return 0


def test_a_batch_in_which_a_kind_of_fault_never_had_an_effect_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "ENOUGH_SEEDS", 1)
    monkeypatch.setattr(Faults, "_trim", nothing)
    trims = next(seed for seed in range(100) if any(one.kind == "trim" for one in draw(seed, len(SAGAS)).faults))
    told = CliRunner().invoke(app, ["simulate", "--first", str(trims), "--seeds", "1", "--jobs", "1"])
    assert told.exit_code == 1
    assert "NEVER TRIED: fault: trim" in told.output


def test_what_was_never_tried_is_missed_once_there_were_many_seeds() -> None:
    kinds = {*AT_HOSTS, *AT_SERVERS, *REFUSALS}
    assert promises.missed(ENOUGH_SEEDS, ["m", "n"], {"m"}, kinds - {"trim"}) == ["n", "fault: trim"]
    assert promises.missed(ENOUGH_SEEDS, ["m"], {"m"}, kinds) == []
    assert promises.missed(ENOUGH_SEEDS - 1, ["m"], (), ()) == []


def test_markers_of_what_sagas_do_not_have_are_not_promised_of_them() -> None:
    ours = promised([saga.seal().manifest for saga in SAGAS], ours=True)
    assert {"ChildStarted", "SagaTurnedBack deadline", "FallbackUsed"} <= set(ours)
    assert promised([], ours=False) == [*OF_ANY_SAGAS]
    falling = next(saga for saga in SAGAS if any(one.fallback and not one.after for one in saga.seal().manifest.nodes))
    told = set(promised([falling.seal().manifest], ours=False))
    assert ("FallbackUsed" in told, "SagaTurnedBack deadline" in told) == (True, False)


def test_nothing_is_promised_of_what_stands_behind_a_pause() -> None:
    saga = Saga("late", input=Job)
    pause = saga.sleep("pause", 60)

    @saga.step("a", after=[pause])
    async def a(order: Job) -> int:
        return 1

    @a.undo
    async def undo(result: int | None) -> None: ...

    assert "UndoScheduled turned_back" not in promised([saga.seal().manifest], ours=False)


def test_that_a_wait_ends_by_its_time_is_promised_only_where_a_run_sees_that() -> None:
    def told(timeout: float | timedelta, on_timeout: Literal["compensate", "continue"]) -> bool:
        saga = Saga("waiting", input=Job)
        saga.wait("word", model=Word, timeout=timeout, on_timeout=on_timeout)
        return "TimerFired signal" in promised([saga.seal().manifest], ours=False)

    assert told(4, "continue")
    assert not told(4, "compensate")
    assert not told(days(2), "continue")


def test_that_a_wait_has_ended_says_nothing_of_pauses() -> None:
    saga = Saga("resting", input=Job)
    saga.sleep("pause", 1)
    told = promised([saga.seal().manifest], ours=False)
    assert [one for one in told if one.startswith("TimerFired")] == ["TimerFired timer"]
    assert marker_of(TimerFired(step="pause", opened_by=1, kind="timer")) == "TimerFired timer"
    assert marker_of(TimerFired(step="word", opened_by=1, kind="signal")) == "TimerFired signal"


def test_whoever_waits_for_days_is_answered_and_sleeps_are_short_so_that_all_of_a_saga_is_tried() -> None:
    saga = Saga("patient", input=Job)
    first = saga.wait("first", model=Word, timeout=days(2), on_timeout="compensate")
    pause = saga.sleep("pause", days(1), after=[first])
    second = saga.wait("second", model=Word, timeout=days(2), on_timeout="compensate", after=[pause])

    @saga.step("a", after=[second], timeout=days(5), retry=Retry(delays=[days(1)]))
    async def a(order: Job) -> int:
        return 1

    script = draw(7, 1)
    run = simulate(replace(script, requests=(), sagas=script.sagas[:5], faults=()), [saga])
    assert (run.violations, run.endings) == ((), {"completed": 5})
    assert run.seconds < 60


def test_the_table_shows_every_promised_marker_and_how_many_of_the_chosen_faults_had_an_effect() -> None:
    told = CliRunner().invoke(app, ["simulate", "--seeds", "1", "--jobs", "1"])
    assert told.exit_code == 0
    for marker in promised([], ours=True):
        assert f" {marker}\n" in told.output
    assert " 1 of 1 " in told.output or " 2 of 2 " in told.output

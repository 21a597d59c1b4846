"""The simulator itself: the same seed does the same, hosts stop between two instructions, failures shrink."""

import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.testing.simulator import batch
from amends.testing.simulator.hosts import Host, SimulatedLoop, StalledError, close_all
from amends.testing.simulator.said import Said
from amends.testing.simulator.script import AT_HOSTS, AT_SERVERS, REFUSALS, Script, draw
from amends.testing.simulator.system import simulate
from sagas import points
from tests.simulation.planted import find, smallest

CLOCK = LoopClock()
DIGESTS = """
from amends.testing.simulator import batch
sagas = batch.sagas_of([])
for seed in range(3):
    print(batch.run_seed(seed, sagas).digest)
"""


def test_the_same_seed_gives_the_same_trace_in_processes_with_other_hash_seeds() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", DIGESTS], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(set(told[0].split())) == 3


def test_a_script_is_kept_and_played_again() -> None:
    sagas = batch.sagas_of([])
    script = draw(7, len(sagas))
    again = Script.from_json(script.to_json())
    assert again == script
    assert simulate(again, sagas).digest == simulate(script, sagas).digest


def test_a_script_has_twenty_sagas_and_five_kinds_of_fault() -> None:
    for seed in range(200):
        script = draw(seed, 60)
        assert len(script.sagas) >= 20
        assert len({fault.kind for fault in script.faults}) >= 5


def test_every_kind_of_fault_is_drawn() -> None:
    drawn = {fault.kind for seed in range(300) for fault in draw(seed, 60).faults}
    assert drawn == {*AT_HOSTS, *AT_SERVERS, *REFUSALS}


def on_hosts(work: Callable[[SimulatedLoop], Coroutine[Any, Any, None]]) -> None:
    loop = SimulatedLoop()
    try:
        loop.run_until_complete(work(loop))
    finally:
        close_all(loop)
        loop.close()


def test_a_host_that_is_killed_runs_nothing_more_not_even_what_ends_it() -> None:
    told: list[str] = []

    async def work() -> None:
        try:
            await CLOCK.sleep(1)
            told.append("went on")
        finally:
            told.append("ended")

    async def scene(loop: SimulatedLoop) -> None:
        host = Host("h", Random(1), loop)
        host.run(work())
        await CLOCK.sleep(0.5)
        host.kill()
        await CLOCK.sleep(5)
        assert told == []

    on_hosts(scene)


def test_a_host_that_stands_still_goes_on_where_it_stood() -> None:
    told: list[float] = []

    async def scene(loop: SimulatedLoop) -> None:
        async def work() -> None:
            for _ in range(2):
                await CLOCK.sleep(1)
                told.append(loop.time())

        host = Host("h", Random(1), loop)
        host.run(work())
        await CLOCK.sleep(0.5)
        host.pause()
        await CLOCK.sleep(5)
        host.resume()
        await CLOCK.sleep(5)
        assert told == [5.5, 6.5]

    on_hosts(scene)


def test_time_that_can_never_go_on_is_said() -> None:
    async def scene(loop: SimulatedLoop) -> None:
        await loop.create_future()

    with pytest.raises(StalledError):
        on_hosts(scene)


def test_a_failure_shrinks_to_what_it_needs() -> None:
    found = find("a takeover runs the handler", seeds=50)
    assert found is not None
    small = smallest("a takeover runs the handler", found)
    assert small.violations[0].rule == found.violations[0].rule
    assert small.script.length <= 6
    assert any("VIOLATION" in line for line in small.trace.timeline())


def test_a_check_that_is_broken_itself_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*of: Any) -> None:
        raise KeyError("no such step")

    monkeypatch.setattr(Said, "takes", broken)
    sagas = batch.sagas_of([])
    told = simulate(draw(7, len(sagas)), sagas).violations
    assert {(one.rule, one.detail) for one in told} == {("no check ends by an error", "KeyError('no such step')")}


def test_points_of_production_code_are_off_unless_somebody_arms_them() -> None:
    assert not points.buggify("values.forgotten")
    points.arm(lambda point: point == "values.forgotten")
    try:
        assert points.buggify("values.forgotten")
    finally:
        points.arm(None)
    assert not points.buggify("values.forgotten")

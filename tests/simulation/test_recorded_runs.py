"""What the simulated servers answered in a run, the real ones answer too: the model is as they are."""

from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cache

import pytest

from amends.testing.simulator.batch import sagas_of
from amends.testing.simulator.script import Fault, draw
from tests.simulation.recording import STORE, Recording, record
from tests.simulation.replaying import Rows, Streams, is_list

SEEDS = (12, 22)
"""Their sagas have children, large values, items; one engine takes input by input, the other whole batches."""
FAULTS = (
    Fault(0.5, "foreign entry"),
    Fault(0.8, "kill", "worker1", 0.5),
    Fault(1.0, "lose answers of database", "orchestrator1", count=2),
    Fault(1.2, "lose answers of streams", "worker2", count=2),
    Fault(1.5, "outcome twice"),
    Fault(1.8, "trim", count=3),
    Fault(2.0, "streams refuse", seconds=1.0),
    Fault(2.6, "delete consumers"),
    Fault(3.0, "destroy group", count=2),
    Fault(3.4, "cut database", "api1"),
    Fault(3.6, "cut streams", "worker1"),
    Fault(3.8, "flush"),
    Fault(4.3, "kill", "orchestrator1", 1.0),
    Fault(4.6, "slow commits", seconds=2.0),
    Fault(5.0, "database freezes", seconds=3.0),
    Fault(5.5, "pause", "worker2", 12.0),
    Fault(5.8, "trim", count=2),
)
NOT_CALLED = {"give_back", "put_manifest"}
COMMANDS = {
    "EVAL", "FLUSHALL", "GET", "XADD", "XAUTOCLAIM", "XCLAIM", "XDEL", "XGROUP", "XINFO", "XLEN", "XPENDING",
    "XRANGE", "XREADGROUP", "XREVRANGE",
}  # fmt: skip


@cache
def recorded(seed: int) -> Recording:
    sagas = sagas_of([])
    drawn = draw(seed, len(sagas))
    return record(replace(drawn, faults=FAULTS, orchestrators=2, workers=2, reconcilers=2), sagas)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("url", ["redis_url", "oldest_redis_url"])
def test_real_servers_of_streams_answer_as_the_simulated_one(
    seed: int, url: str, request: pytest.FixtureRequest
) -> None:
    streams = Streams(request.getfixturevalue(url))
    try:
        streams.replay(recorded(seed))
    finally:
        streams.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_real_database_answers_as_the_simulated_one(seed: int, database_url: str) -> None:
    async with AsyncExitStack() as ending:
        rows = await Rows.open(database_url, ending)
        await rows.replay(recorded(seed))


def test_the_runs_have_all_that_is_to_be_compared() -> None:
    runs = [recorded(seed) for seed in SEEDS]
    called = {done.name for run in runs for done in run.calls}
    assert called == {*STORE, "overdue", "never_published"} - NOT_CALLED
    commands = [done for run in runs for done in run.commands]
    assert {done.command[0] for done in commands} == COMMANDS
    claims = [done.answer for done in commands if done.command[0] == "XAUTOCLAIM" and is_list(done.answer)]
    assert any(entries for _, entries, _ in claims), "something is taken over"
    assert any(gone for _, _, gone in claims), "something that was deleted is met"
    assert all(run.owed for run in runs), "messages are owed"

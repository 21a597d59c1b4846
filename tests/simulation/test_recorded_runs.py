"""What the simulated servers answered in a run, the real ones answer too."""

from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from amends.testing.simulator.batch import sagas_of
from amends.testing.simulator.script import draw
from tests.simulation.recording import Recording, record
from tests.simulation.replaying import Rows, Streams

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module", params=SEEDS)
def recording(request: pytest.FixtureRequest) -> Recording:
    sagas = sagas_of([])
    script = draw(request.param, len(sagas))
    return record(replace(script, faults=tuple(one for one in script.faults if one.kind != "failover")), sagas)


@pytest.mark.parametrize("url", ["redis_url", "oldest_redis_url"])
def test_real_servers_of_streams_answer_as_the_simulated_one(
    recording: Recording, url: str, request: pytest.FixtureRequest
) -> None:
    streams = Streams(request.getfixturevalue(url))
    try:
        streams.replay(recording)
    finally:
        streams.close()


async def test_a_real_database_answers_as_the_simulated_one(recording: Recording, database_url: str) -> None:
    async with AsyncExitStack() as ending:
        rows = await Rows.open(database_url, ending)
        await rows.replay(recording)

"""Whatever a seed does to the system: what must hold holds, and all that is promised to be tried is tried."""

import pytest

from amends.testing.simulator.batch import run_part

SEEDS = 250


@pytest.mark.timeout(400)
@pytest.mark.parametrize("first", [10_000, 20_000])
def test_seeds_hold_and_try_all_that_is_promised(first: int) -> None:
    """The same as `amends simulate --first FIRST --seeds 250`."""
    told = run_part([], range(first, first + SEEDS))
    assert told.failed == []
    assert told.missed() == []
    assert told.sagas >= 20 * SEEDS

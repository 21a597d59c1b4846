"""Deliberate bugs: each is a wrong turn that somebody could take, put into production code for one test.

`python -m tests.simulation.planted` prints the table: bug, seeds until it is found, and the smallest script.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from amends.testing.simulator import batch
from amends.testing.simulator.script import draw
from amends.testing.simulator.system import simulate
from tests.simulation import wrong_rules, wrong_services
from tests.simulation.bugs import BUGS

__all__ = ["BUGS", "find", "smallest", "wrong_rules", "wrong_services"]
SEEDS_MAX = 2_000


def find(name: str, first: int = 0, seeds: int = SEEDS_MAX) -> Any:
    """The first seed whose run the bug breaks, with its result; None if there is none."""
    sagas_ = batch.sagas_of([])
    with pytest.MonkeyPatch.context() as patch:
        BUGS[name](patch)
        for seed in range(first, first + seeds):
            result = simulate(draw(seed, len(sagas_)), sagas_)
            if result.failed:
                return result
    return None


def smallest(name: str, found: Any) -> Any:
    """The smallest script that shows the bug."""
    with pytest.MonkeyPatch.context() as patch:
        BUGS[name](patch)
        return batch.shrunk(found, batch.sagas_of([]))[0]


def main(names: Sequence[str]) -> None:
    """Print the table."""
    for name in names or list(BUGS):
        began = time.process_time()
        found = find(name)
        told = f"NOT FOUND in {SEEDS_MAX} seeds"
        if found is not None:
            small = smallest(name, found)
            told = f"{found.script.seed + 1:5} {small.script.length:4} {found.violations[0].rule}"
        sys.stdout.write(f"{name:52} {told} ({time.process_time() - began:.0f} s)\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

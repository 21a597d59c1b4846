"""Deliberate bugs: each is a wrong turn that somebody could take, put into production code for one test.

`python -m tests.simulation.planted [NAME…]` prints the table of `docs/reference/planted-bugs.md`, row by row: how many
seeds it takes until the simulator names a rule that the bug breaks, which one, and the smallest script that shows it.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest

from amends.testing.simulator import batch
from amends.testing.simulator.script import draw
from amends.testing.simulator.system import Result, simulate
from tests.simulation import wrong_rules, wrong_services, wrong_values
from tests.simulation.bugs import BUGS, RULES, shown

__all__ = ["BUGS", "find", "smallest", "wrong_rules", "wrong_services", "wrong_values"]
SEEDS_MAX = 2_000
HEAD = "| bug | breaks | seeds | named by | smallest script |\n|---|---|---|---|---|\n"


def find(name: str, first: int = 0, seeds: int = SEEDS_MAX) -> Result | None:
    """The first seed whose run shows the bug, with what shows it; None if there is none."""
    sagas_ = batch.sagas_of([])
    with pytest.MonkeyPatch.context() as patch:
        BUGS[name](patch)
        for seed in range(first, first + seeds):
            result = simulate(draw(seed, len(sagas_)), sagas_)
            if told := shown(name, result.violations):
                return replace(result, violations=tuple(told))
    return None


def smallest(name: str, found: Result) -> Result:
    """The smallest script that shows the bug, with what shows it."""
    with pytest.MonkeyPatch.context() as patch:
        BUGS[name](patch)
        small = batch.shrunk(found, batch.sagas_of([]))[0]
    return replace(small, violations=tuple(shown(name, small.violations)))


def row(name: str) -> str:
    """What the table says of a bug."""
    breaks = ", ".join(RULES[name])
    found = find(name)
    if found is None:
        return f"| {name} | {breaks} | not found in {SEEDS_MAX:,} | | |"
    return (
        f"| {name} | {breaks} | {found.script.seed + 1} | {found.violations[0].rule} | "
        f"{smallest(name, found).script.length} |"
    )


def main(names: Sequence[str]) -> None:
    """Print the table."""
    sys.stdout.write(HEAD)
    for name in names or list(BUGS):
        sys.stdout.write(f"{row(name)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

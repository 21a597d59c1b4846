"""`make soak`: many random sagas, and families of them, through the rules; a seed repeats one."""

import argparse
import sys

from tests.property.test_core import check_ended, check_order, play
from tests.property.test_families import check_family
from tests.property.test_families import play as play_family

TROUBLE = (0.0, 0.1, 0.3, 0.6, 0.9)
FAMILIES_EVERY = 3
"""A family is played with each seed that this divides."""


def main() -> None:
    """Run the seeds."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--seeds", type=int, default=20_000)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    seeds = [asked.seed] if asked.seed is not None else range(asked.seeds)
    for seed in seeds:
        world = play(seed, TROUBLE[seed % len(TROUBLE)])
        check_ended(world)
        check_order(world)
        if seed % FAMILIES_EVERY == 0:
            check_family(play_family(seed, TROUBLE[seed % len(TROUBLE)]))
    sys.stdout.write(f"{len(seeds)} random sagas, and families of them, kept every invariant\n")


if __name__ == "__main__":
    main()

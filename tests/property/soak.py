"""`make soak`: many random sagas through the rules; a seed repeats one."""

import argparse
import sys

from tests.property.test_core import check_ended, check_order, play

TROUBLE = (0.0, 0.1, 0.3, 0.6, 0.9)


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
    sys.stdout.write(f"{len(seeds)} random sagas kept every invariant\n")


if __name__ == "__main__":
    main()

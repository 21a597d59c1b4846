"""`make soak`: many races of people with outcomes, by the rules of the state machine; a seed repeats one."""

import argparse
import logging
import random
import sys

from tests.faults.test_races import Races

TROUBLE = (0.0, 0.1, 0.2, 0.8)
SECONDS = (0.001, 0.01, 0.3, 0.3, 1.0, 1.0, 5.0, 30.0)
STEPS = 60


def race(seed: int) -> Races:
    """One race, to its end."""
    random.seed(seed)  # engines that lost a race wait for a while
    chance = random.Random(seed)
    machine = Races()
    machine.begin(chance.getrandbits(32), TROUBLE[seed % len(TROUBLE)])
    asked = (
        machine.somebody_sends_a_signal, machine.an_operator_holds, machine.an_operator_releases,
        machine.an_operator_cancels, machine.an_operator_tries_again, machine.an_operator_corrects,
        machine.an_operator_who_has_looked_says_what_is_true, machine.an_operator_closes_what_rests,
    )  # fmt: skip
    troubles = (machine.a_host_stands_still_and_another_comes, machine.the_streams_are_forgotten)
    try:
        for _ in range(STEPS):
            draw = chance.random()
            if draw < 0.45:
                machine.time_passes(chance.choice(SECONDS))
            elif draw < 0.9:
                chance.choice(asked)()
            elif draw < 0.93 and len(machine.world.store.every()) < 6:
                machine.somebody_starts_a_saga()
            elif draw < 0.96:
                chance.choice(troubles)()
            elif draw < 0.98:
                machine.the_answer_of_a_commit_is_lost(chance.random() < 0.5)
    finally:
        machine.teardown()
    return machine


def main() -> None:
    """Run the seeds."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    seeds = [asked.seed] if asked.seed is not None else range(asked.seeds)
    for seed in seeds:
        try:
            race(seed)
        except AssertionError as broken:
            sys.exit(f"seed {seed}: {broken}")
    sys.stdout.write(f"{len(seeds)} races left no saga stuck, and no step both undone and counted\n")


if __name__ == "__main__":
    main()

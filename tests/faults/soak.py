"""Many seeded races, for `make soak`: the same rules as the state machine's, drawn from a seed, which repeats one."""

import random

from tests.faults.test_races import Races

TROUBLE = (0.0, 0.1, 0.2, 0.8)
SECONDS = (0.001, 0.01, 0.3, 0.3, 1.0, 1.0, 5.0, 30.0)
STEPS = 60


def race(seed: int) -> Races:
    """One race, to its end."""
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

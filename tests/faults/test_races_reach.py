"""The races are no empty show: what is asked is done, refused, and overtaken, and sagas end in every way."""

from collections import Counter

from tests.faults.soak import race

SEEDS = 48
VERBS = {"Send", "Cancel", "Hold", "Release", "TryAgain", "Correct", "Resolve"}


def test_every_verb_is_done_and_refused_and_sagas_end_in_every_way() -> None:
    answers, endings = Counter[tuple[str, str]](), Counter[str]()
    for seed in range(SEEDS):
        world = race(seed).world
        for (verb, _, code), count in world.tally.items():
            answers[verb, code] += count
        endings.update(head.status for head in world.store.every())
    assert {verb for verb, code in answers if code == "accepted"} == VERBS
    assert {verb for verb, code in answers if code == "refused"} == VERBS - {"Release"}, "whoever is not held says so"
    assert {code for _, code in answers} == {"accepted", "refused", "moved", "nothing"}
    assert {"completed", "compensated"} <= set(endings)


def test_a_seed_repeats_its_race() -> None:
    told = [race(3).world for _ in range(2)]
    assert told[0].store.every() == told[1].store.every()
    assert told[0].tally == told[1].tally

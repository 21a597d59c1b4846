"""The ledger of the survival tests sees what it is there to see."""

import pytest

from tests.survival.ledger import check

GOOD = [f"{what} s/{step} 1" for step in ("first", "second", "third") for what in ("begin", "end")]


def test_each_step_once_is_good_and_so_is_an_attempt_that_was_cut_off() -> None:
    check(GOOD, 1)
    check(["begin s/first 1", *(line.replace("first 1", "first 2") for line in GOOD)], 1)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([*GOOD, "begin s/first 2", "end s/first 2"], "ran to its end, and then again"),
        (["begin s/first 1", *GOOD], "was executed twice"),
        (["begin s/first 2", *GOOD, "end s/first 2"], "ran to its end, and then again"),
        (GOOD[:-1], "2 of 3 steps ended"),
    ],
)
def test_what_ran_twice_or_never_ended_is_found(lines: list[str], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        check(lines, 1)

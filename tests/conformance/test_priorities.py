"""Priorities, on every transport: what is urgent goes first, and nothing waits for ever."""

from dataclasses import replace
from math import inf

import pytest

from consumers.priorities import AHEAD_MAX
from tests.conformance.transports import COMMAND, Connect


@pytest.mark.parametrize("room", [1, 3, 10, 25])
async def test_ten_of_a_higher_priority_go_before_one_that_waits_and_no_more(connect: Connect, room: int) -> None:
    """rule_C4: nobody starves, however much of a higher priority there is."""
    sender, worker = connect("o"), connect("w")
    await worker.open(["default"])
    low, high = replace(COMMAND, priority="low"), replace(COMMAND, priority="high")
    await sender.publish([low] * 4 + [COMMAND] * 12 + [high] * 200, inf)
    taken: list[str] = []
    while not taken or taken.count("low") < 4 or taken.count("normal") < 12:
        taken += [entry.command.priority for entry in await worker.read(room, 0.0)]
        higher = {"low": taken.count("high") + taken.count("normal"), "normal": taken.count("high")}
        for priority, total in {"low": 4, "normal": 12}.items():
            served = sum(one == priority for one in taken)
            assert served == total or higher[priority] <= AHEAD_MAX * (served + 1), taken
    assert taken.count("high") > AHEAD_MAX * 3, "the urgent ones go first all the same"

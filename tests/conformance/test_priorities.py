"""Priorities, on every transport: what is urgent goes first, and nothing waits for ever."""

import asyncio
from dataclasses import replace
from math import inf

import pytest

from consumers.keys import WORKERS, command_key
from consumers.priorities import AHEAD_MAX
from tests.conformance.transports import COMMAND, Connect, Raw


@pytest.mark.parametrize("room", [1, 3, 10, 25, 60, 300])
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


async def test_no_more_comes_than_there_is_room_for_and_nothing_is_held_back(
    connect: Connect,
) -> None:
    sender, worker = connect("o"), connect("w")
    await worker.open(["default"])
    each = [COMMAND, replace(COMMAND, priority="low"), replace(COMMAND, priority="high")]
    for waiting in (5, 70, 5, 0, 20, 20):
        await sender.publish(each * waiting, inf)
        taken: list[str] = []
        while found := await worker.read(60, 0.0):
            assert len(found) <= 60
            taken += [entry.command.priority for entry in found]
        assert {one: taken.count(one) for one in set(taken)} == dict.fromkeys(taken, waiting)
        assert len(taken) == 3 * waiting


async def test_who_waits_with_room_is_given_all_that_is_sent_together(connect: Connect) -> None:
    """Of a batch that comes one by one the first alone would run, and the others after another read."""
    sender, worker = connect("o"), connect("w")
    await worker.open(["default"])
    assert await worker.read(100, 0.0) == []
    found, _ = await asyncio.gather(worker.read(100, 5.0), sender.publish([COMMAND] * 7, inf))
    assert len(found) == 7


async def test_when_the_group_of_one_priority_is_gone_the_next_read_gives_what_the_others_have(
    remote: tuple[Connect, Raw],
) -> None:
    """rule_L7: nothing is handed out together with the refusal, and left lying."""
    connect, raw = remote
    sender, worker = connect("o"), connect("w")
    await worker.open(["default"])
    assert await worker.read(100, 0.0) == []
    await sender.publish([COMMAND] * 3, inf)
    await raw("XGROUP", "DESTROY", command_key("default", "high"), WORKERS)
    assert len(await worker.read(100, 0.0) + await worker.read(100, 0.0)) == 3
    await sender.publish([replace(COMMAND, priority="high")], inf)
    assert [entry.command.priority for entry in await worker.read(100, 0.0)] == ["high"]

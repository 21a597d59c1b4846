"""One contract, four transports: in this process, over a server in memory, Valkey, and Redis 6.2."""

import asyncio
from dataclasses import replace
from math import inf

import pytest

from consumers.envelopes import dump
from consumers.stream import RedisStreams
from sagas.ports import Arrivals, TransportUnavailable, WaitRow
from sagas.whereabouts import GONE, EntryState
from tests.conformance.transports import COMMAND, OUTCOME, PROGRESSED, STARTED, Connect, Raw, as_sent


async def test_a_command_goes_to_one_worker_and_its_outcome_comes_back(connect: Connect) -> None:
    sender, one, two = connect("o"), connect("w1"), connect("w2")
    for worker in (one, two):
        await worker.open(["default"])
    await sender.publish([COMMAND], inf)
    (delivery,) = await one.read(10, 2.0)
    assert as_sent(delivery.command) == COMMAND
    assert delivery.first_sent
    assert delivery.current
    assert asyncio.get_running_loop().time() - delivery.sent_at < 2
    assert await two.read(10, 0.05) == []
    await one.send([STARTED, PROGRESSED, OUTCOME])
    assert await one.settle([delivery.entry]) == [True]
    assert await one.settle([delivery.entry]) == [False]
    words = (await sender.outcomes(10, 2.0)).deliveries
    assert [entry.word for entry in words] == [STARTED, PROGRESSED, OUTCOME]
    await sender.acknowledge([entry.entry for entry in words])
    assert await sender.outcomes(10, 0.05) == Arrivals()


async def test_high_priority_goes_first_and_no_more_than_there_is_room_for(connect: Connect) -> None:
    sender, worker = connect("o"), connect("w")
    await worker.open(["default"])
    low, high = replace(COMMAND, priority="low"), replace(COMMAND, priority="high")
    await sender.publish([low, COMMAND, high, low], inf)
    first = await worker.read(2, 1.0)
    assert [entry.command.priority for entry in first] == ["high", "normal"]
    assert [entry.command.priority for entry in await worker.read(9, 1.0)] == ["low", "low"]


async def test_other_queues_are_left_alone(connect: Connect) -> None:
    sender, worker = connect("o"), connect("w")
    await worker.open(["shipping"])
    await sender.publish([COMMAND, replace(COMMAND, queue="shipping")], inf)
    assert [entry.command.queue for entry in await worker.read(9, 1.0)] == ["shipping"]


async def test_a_command_sent_before_any_worker_came_is_not_lost(connect: Connect) -> None:
    sender, worker = connect("o"), connect("w")
    await sender.publish([COMMAND], inf)
    await worker.open(["default"])
    assert len(await worker.read(9, 1.0)) == 1


async def test_what_nobody_renews_is_taken_over_once(connect: Connect) -> None:
    sender, dead, other = connect("o"), connect("dead"), connect("other")
    for worker in (dead, other):
        await worker.open(["default"])
    await sender.publish([COMMAND], inf)
    (held,) = await dead.read(9, 1.0)
    assert await other.idle(60.0, 9) == []
    (taken,) = await other.idle(0.0, 9)
    assert as_sent(taken.command) == COMMAND
    assert not taken.first_sent
    assert await other.settle([taken.entry]) == [True]
    assert await dead.settle([held.entry]) == [False]


async def test_a_group_that_is_gone_hands_nothing_out_again(remote: tuple[Connect, Raw]) -> None:
    """rule_L7: its entries were young and of the same memory, and ran twice under one attempt."""
    connect, raw = remote
    sender, first, second = connect("o"), connect("w1"), connect("w2")
    for worker in (first, second):
        await worker.open(["default"])
    (entry,) = await sender.publish([COMMAND], inf)
    await first.read(9, 1.0)
    await raw("XGROUP", "DESTROY", "amends:{q-default}:commands:normal", "workers")
    assert await second.read(9, 0.05) == []
    row = WaitRow(COMMAND.saga_id, 2, "step", "hotel", None, 1, "default", "normal", 0.0, 0.0, 0.0, entry)
    assert (await second.read(9, 0.05), await sender.inspect([row])) == ([], [GONE])
    await sender.publish([COMMAND], inf)
    assert len(await second.read(9, 1.0)) == 1


async def test_what_was_handed_out_and_nobody_holds_is_gone(remote: tuple[Connect, Raw]) -> None:
    """rule_L5: somebody deleted its consumer; it looked queued, and was waited for for ever."""
    connect, raw = remote
    sender, worker = connect("o"), connect("w1")
    await worker.open(["default"])
    (entry,) = await sender.publish([COMMAND], inf)
    await worker.read(9, 1.0)
    await raw("XGROUP", "DELCONSUMER", "amends:{q-default}:commands:normal", "workers", "w1")
    row = WaitRow(COMMAND.saga_id, 2, "step", "hotel", None, 1, "default", "normal", 0.0, 0.0, 0.0, entry)
    assert await sender.inspect([row]) == [GONE]


async def test_own_pending_commands_and_outcomes_come_again_after_a_restart(connect: Connect) -> None:
    sender, worker = connect("o"), connect("w")
    await worker.open(["default"])
    await sender.publish([COMMAND], inf)
    await worker.read(9, 1.0)
    again = connect("w")
    await again.open(["default"])
    (pending,) = await again.own_pending()
    assert not pending.first_sent
    assert not pending.claimed
    await worker.send([OUTCOME])
    assert len((await sender.outcomes(9, 1.0)).deliveries) == 1
    assert [entry.word for entry in (await connect("o").outcomes(9, 1.0)).deliveries] == [OUTCOME]


async def test_own_pending_tells_what_may_have_been_anothers(connect: Connect) -> None:
    sender, dead, other = connect("o"), connect("dead"), connect("other")
    for worker in (dead, other):
        await worker.open(["default"])
    await sender.publish([COMMAND], inf)
    await dead.read(9, 1.0)
    await other.idle(0.0, 9)  # as if the answer were lost on its way
    (pending,) = await other.own_pending()
    assert pending.claimed


async def test_outcomes_that_could_not_be_applied_come_again(connect: Connect) -> None:
    sender, worker = connect("o"), connect("w")
    await worker.send([OUTCOME])
    assert len((await sender.outcomes(9, 1.0)).deliveries) == 1
    sender.recall()
    again = await sender.outcomes(9, 0.05)
    assert [entry.word for entry in again.deliveries] == [OUTCOME]


async def test_nothing_is_sent_after_its_instant(connect: Connect) -> None:
    """rule_C1."""
    sender, worker = connect("o"), connect("w")
    await worker.open(["default"])
    if isinstance(sender, RedisStreams):
        with pytest.raises(TransportUnavailable):
            await sender.publish([COMMAND], asyncio.get_running_loop().time() - 0.001)
        assert await worker.read(9, 0.05) == []


async def test_inspect_tells_queued_pending_and_gone(connect: Connect) -> None:
    sender, worker = connect("o"), connect("w")
    await worker.open(["default"])
    (entry,) = await sender.publish([COMMAND], inf)
    row = WaitRow(COMMAND.saga_id, 2, "step", "hotel", None, 1, "default", "normal", 0.0, 0.0, 0.0, entry)
    assert await sender.inspect([row]) == [EntryState("queued", COMMAND.timeout)]
    (delivery,) = await worker.read(9, 1.0)
    assert await sender.inspect([row]) == [EntryState("pending", COMMAND.timeout)]
    await worker.settle([delivery.entry])
    assert await sender.inspect([row, replace(row, queue="nobody")]) == [GONE, GONE]


async def test_a_wake_up_ends_a_blocking_read(connect: Connect) -> None:
    sender, waker = connect("o"), connect("api")
    reading = asyncio.create_task(sender.outcomes(9, 4.0))
    await asyncio.wait([reading], timeout=0.1)
    async with asyncio.timeout(3):
        await waker.wake()
        assert await reading == Arrivals(woken=True)


async def test_a_wake_up_that_comes_with_outcomes_is_told_once(connect: Connect) -> None:
    """rule_A4."""
    sender, worker = connect("o"), connect("w")
    await worker.send([OUTCOME])
    await sender.wake()
    arrivals = await sender.outcomes(9, 0.5)
    assert ([entry.word for entry in arrivals.deliveries], arrivals.woken) == ([OUTCOME], True)
    await sender.acknowledge([entry.entry for entry in arrivals.deliveries])
    assert await sender.outcomes(9, 0.05) == Arrivals()


async def test_what_a_read_was_given_that_is_cancelled_meanwhile_comes_once(connect: Connect) -> None:
    """rule_C6: the server has handed it out, and nobody has seen it."""
    sender, worker = connect("o"), connect("w")
    await worker.open(["default"])
    reading = asyncio.create_task(worker.read(9, 5.0))
    await asyncio.wait([reading], timeout=0.1)
    sending = asyncio.create_task(sender.publish([COMMAND], inf))
    await asyncio.wait([sending], timeout=0)
    reading.cancel()
    await asyncio.wait([reading, sending])
    seen = [] if reading.cancelled() else reading.result()
    seen += [one for one in await worker.own_pending() if one.entry not in {other.entry for other in seen}]
    seen += await worker.read(9, 0.2)
    assert [as_sent(delivery.command) for delivery in seen] == [COMMAND]


async def test_a_foreign_entry_is_set_aside_and_does_not_come_again(remote: tuple[Connect, Raw]) -> None:
    connect, raw = remote
    streams = connect("o")
    await streams.open(["default"])
    torn = dump(OUTCOME)
    for body in (
        b"not json",
        b'{"kind":"x"}',
        b"[]",
        torn[:-5],
        torn.replace(b'"opened_by":2', b'"opened_by":99999999999'),
        torn.replace(OUTCOME.saga_id.encode(), b"' OR true"),
    ):
        await raw("XADD", "amends:{o-0}:outcomes", "*", "b", body)
        await raw("XADD", "amends:{q-default}:commands:normal", "*", "b", body)
    assert (await streams.outcomes(9, 0.05)).deliveries == ()
    assert await streams.read(9, 0.05) == []
    assert await streams.own_pending() == []
    assert await raw("XLEN", "amends:{set-aside}") == 12


async def test_a_refused_write_is_told_from_one_whose_answer_is_lost(remote: tuple[Connect, Raw]) -> None:
    """rule_C9."""
    connect, raw = remote
    streams = connect("o")
    await streams.open(["default"])
    assert None not in await streams.publish([COMMAND], inf)
    await raw("CONFIG", "SET", "maxmemory", 1)
    try:
        assert await streams.publish([COMMAND, COMMAND], inf) == [None, None]
    finally:
        await raw("CONFIG", "SET", "maxmemory", 0)
    assert await raw("XLEN", "amends:{q-default}:commands:normal") == 1


async def test_a_sender_whose_first_write_is_refused_says_so(remote: tuple[Connect, Raw]) -> None:
    """rule_C9."""
    connect, raw = remote
    fresh = connect("api")
    await raw("CONFIG", "SET", "maxmemory", 1)
    try:
        assert await fresh.publish([COMMAND], inf) == [None]
    finally:
        await raw("CONFIG", "SET", "maxmemory", 0)
    assert None not in await fresh.publish([COMMAND], inf)


async def test_who_missed_the_loss_of_memory_meets_the_new_one(remote: tuple[Connect, Raw]) -> None:
    """rule_L7: a command of the new memory is not taken for one of the old."""
    connect, raw = remote
    sender, first, second = (connect(name) for name in ("o", "w1", "w2"))
    for worker in (first, second):
        await worker.open(["default"])
    await raw("FLUSHALL")
    assert await first.read(1, 0.05) == []
    await sender.publish([COMMAND, COMMAND], inf)
    (one,) = await first.read(1, 1.0)
    (two,) = await second.read(1, 1.0)
    assert (one.current, two.current) == (True, True)


async def test_an_idle_entry_is_found_behind_a_thousand_that_are_renewed(remote: tuple[Connect, Raw]) -> None:
    """rule_L2."""
    connect, raw = remote
    holder, other, sender = (connect(name) for name in ("a", "b", "o"))
    for worker in (holder, other):
        await worker.open(["default"])
    await sender.publish([COMMAND] * 1101, inf)
    held = await holder.read(1101, 1.0)
    key = held[0].entry.split(" ")[0]
    names = [delivery.entry.split(" ")[1] for delivery in held]
    await raw("XCLAIM", key, "workers", "a", 0, *names, "IDLE", 1, "JUSTID")
    await raw("XCLAIM", key, "workers", "a", 0, names[-1], "IDLE", 60_000, "JUSTID")
    found = await other.idle(30.0, 10)
    assert [delivery.entry.split(" ")[1] for delivery in found] == [names[-1]]
    row = WaitRow(COMMAND.saga_id, 2, "step", "hotel", None, 1, "default", "normal", 0.0, 0.0, 0.0, names[0])
    await raw("XCLAIM", key, "workers", "a", 0, names[0], "IDLE", 60_000, "JUSTID")
    assert await sender.inspect([row]) == [GONE], "pending, but nobody renews it (rule_L5)"


async def test_groups_are_made_anew_after_a_flush_and_sent_commands_are_looked_for(remote: tuple[Connect, Raw]) -> None:
    connect, raw = remote
    told: list[str] = []

    async def memory_lost(incarnation: str) -> None:
        told.append(incarnation)

    streams = connect("o")
    streams.on_memory_lost(memory_lost)
    await streams.open(["default"])
    await streams.publish([COMMAND], inf)
    await raw("FLUSHALL")
    assert await streams.read(9, 0.05) == []
    assert told
    await streams.publish([COMMAND], inf)
    (delivery,) = await streams.read(9, 1.0)
    assert delivery.current

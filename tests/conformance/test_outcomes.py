"""Outcomes that stand in their stream: one contract for the transports in memory, of Valkey and of Redis 6.2."""

from dataclasses import replace

import pytest

from consumers import stream
from consumers.keys import ORCHESTRATORS, OUTCOMES, WORKERS
from sagas.ports import Arrivals
from tests.conformance.transports import COMMAND, OUTCOME, PROGRESSED, STARTED, Connect, Raw


async def test_an_outcome_that_is_left_hides_no_other_and_can_be_put_to_the_end_once(connect: Connect) -> None:
    """rule_A11: what only a newer program can apply is not the oldest for ever."""
    worker, one = connect("w"), connect("o1")
    await one.outcomes(1, 0)
    await worker.send([OUTCOME])
    (left,) = (await one.outcomes(10, 1)).deliveries
    one.recall()
    assert (await one.outcomes(10, 1)).deliveries == (left,)
    await worker.send([STARTED])
    (new,) = (await one.outcomes(10, 1)).deliveries
    assert new.word == STARTED
    await one.acknowledge([new.entry])
    await one.put_back([left])
    await one.put_back([left])
    (again,) = (await one.outcomes(10, 1)).deliveries
    assert again.word == OUTCOME
    assert again.entry != left.entry
    await one.acknowledge([again.entry])
    assert await one.unread() is None


async def test_the_oldest_outcome_counts_until_it_is_acknowledged_whoever_has_it(connect: Connect) -> None:
    """rule_A11: a wait may be judged when all that has come since is committed."""
    worker, one, two = connect("w"), connect("o1"), connect("o2")
    await one.outcomes(1, 0)
    assert await two.unread() is None
    await worker.send([OUTCOME])
    unread = await two.unread()
    words = (await one.outcomes(10, 1)).deliveries
    in_hand = await two.unread()
    assert unread is not None
    assert in_hand is not None
    assert (in_hand.first, in_hand.last) == (unread.first, unread.first)
    assert 0 <= unread.seconds <= in_hand.seconds < 5
    await worker.send([OUTCOME])
    await one.acknowledge([entry.entry for entry in words])
    younger = await two.unread()
    assert younger is not None
    assert younger.first > unread.last
    await one.acknowledge([entry.entry for entry in (await one.outcomes(10, 1)).deliveries])
    assert await two.unread() is None


async def test_whose_outcome_stands_is_told_however_many_stand_there_and_whoever_has_it(connect: Connect) -> None:
    """rule_A11: also of one that is put to the end."""
    worker, one, two = connect("w"), connect("o1"), connect("o2")
    await one.outcomes(1, 0)
    mine, other = (COMMAND.saga_id, 2), (COMMAND.saga_id, 3)
    assert await two.told_of([mine]) == set()
    await worker.send([OUTCOME, STARTED, *[replace(OUTCOME, opened_by=4)] * 200])
    assert await two.told_of([mine, other]) == {mine}
    (held,) = (await one.outcomes(1, 1)).deliveries
    unread = await two.unread()
    assert unread is not None
    assert unread.count == 202
    assert await two.told_of([mine, other]) == {mine}
    await one.put_back([held])
    assert await two.told_of([other, mine]) == {mine}
    (moved,) = [entry for entry in (await one.outcomes(300, 1)).deliveries if entry.word == OUTCOME]
    await one.acknowledge([moved.entry])
    assert await two.told_of([other, mine]) == set()


async def test_outcomes_are_applied_and_make_room_while_no_write_is_taken(remote: tuple[Connect, Raw]) -> None:
    """rule_C9: a server that is full stays so if nothing can be deleted; nor may a start, or an error, stop that."""
    connect, raw = remote
    worker, one, two = connect("w"), connect("o1"), connect("o2")
    await one.outcomes(1, 0)
    await worker.send([OUTCOME, STARTED])
    (first,) = (await one.outcomes(1, 1)).deliveries
    await raw("CONFIG", "SET", "maxmemory", 1)
    try:
        one.recall()
        assert (await one.outcomes(9, 0.1)).deliveries == (first,)
        (second,) = (await two.outcomes(9, 0.1)).deliveries
        await one.acknowledge([first.entry])
        await two.acknowledge([second.entry])
        assert await one.unread() is None
    finally:
        await raw("CONFIG", "SET", "maxmemory", 0)


async def test_without_their_group_outcomes_wait_until_it_can_be_made_and_no_memory_is_lost(
    remote: tuple[Connect, Raw],
) -> None:
    """rule_C9, rule_L7: each turn had every command looked for; nor may dates wait for it."""
    connect, raw = remote
    one, lost = connect("o1"), list[str]()

    async def mark(incarnation: str) -> None:
        lost.append(incarnation)

    await connect("w").open(["default"])
    await one.look()
    one.on_memory_lost(mark)
    await raw("CONFIG", "SET", "maxmemory", 1)
    try:
        for _ in range(3):
            assert await one.outcomes(9, 0.01) == Arrivals()
    finally:
        await raw("CONFIG", "SET", "maxmemory", 0)
    assert lost == []
    assert (await one.outcomes(9, 0.0)).deliveries == ()


async def test_a_foreign_entry_that_cannot_be_kept_now_hinders_no_other(remote: tuple[Connect, Raw]) -> None:
    """rule_C8."""
    connect, raw = remote
    worker, one = connect("w"), connect("o1")
    await one.outcomes(1, 0)
    await raw("XADD", OUTCOMES, "*", "b", b"torn")
    await worker.send([OUTCOME])
    await raw("CONFIG", "SET", "maxmemory", 1)
    try:
        (mine,) = (await one.outcomes(9, 1)).deliveries
        await one.acknowledge([mine.entry])
    finally:
        await raw("CONFIG", "SET", "maxmemory", 0)
    assert await raw("XLEN", OUTCOMES) == 1
    one.recall()
    assert (await one.outcomes(9, 0.1)).deliveries == ()
    assert (await raw("XLEN", OUTCOMES), await raw("XLEN", "amends:{set-aside}")) == (0, 1)


async def test_who_leaves_while_a_foreign_command_cannot_be_kept_leaves_it_to_the_next(
    remote: tuple[Connect, Raw],
) -> None:
    """rule_C8: its name goes with whoever is deleted, and nobody would be given it any more."""
    connect, raw = remote
    key = "amends:{q-default}:commands:normal"
    worker, other = connect("w1"), connect("w2")
    for one in (worker, other):
        await one.open(["default"])
    await raw("XADD", key, "*", "b", b"torn")
    await raw("CONFIG", "SET", "maxmemory", 1)
    try:
        assert await worker.read(9, 0.1) == []
        await worker.close()
    finally:
        await raw("CONFIG", "SET", "maxmemory", 0)
    assert await other.idle(0.0, 9) == []
    assert (await raw("XLEN", key), await raw("XLEN", "amends:{set-aside}")) == (0, 1)


async def test_who_leaves_holds_nothing_that_is_gone(remote: tuple[Connect, Raw]) -> None:
    """rule_L6: what was deleted while it ran kept its name in the group for ever."""
    connect, raw = remote
    key = "amends:{q-default}:commands:normal"
    worker = connect("w1")
    await worker.open(["default"])
    entry = await raw("XADD", key, "*", "b", b"torn")
    await raw("XREADGROUP", "GROUP", WORKERS, "w1", "COUNT", 1, "STREAMS", key, ">")
    await raw("XDEL", key, entry)
    await worker.close()
    assert await raw("XGROUP", "DELCONSUMER", key, WORKERS, "w1") == 0


async def test_outcomes_that_nobody_holds_any_more_are_handed_out_again(
    remote: tuple[Connect, Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    """rule_A11: somebody deletes a consumer by hand; what it held would be given to nobody."""
    connect, raw = remote
    monkeypatch.setattr(stream, "REVIVE_SECONDS", 0.0)
    monkeypatch.setattr(stream, "CLAIM_SECONDS", 0.0)
    worker, dead, one = connect("w"), connect("dead"), connect("o1")
    await dead.outcomes(1, 0)
    await worker.send([OUTCOME, STARTED, PROGRESSED])
    assert len((await dead.outcomes(1, 1)).deliveries) == 1
    (held,) = (await one.outcomes(1, 1)).deliveries
    assert held.word == STARTED
    await raw("XGROUP", "DELCONSUMER", OUTCOMES, ORCHESTRATORS, "dead")
    words = [entry.word for _ in range(2) for entry in (await one.outcomes(9, 0.1)).deliveries]
    assert words == [PROGRESSED, OUTCOME], "and what is held or unread stays where it is"
    assert await raw("XLEN", OUTCOMES) == 3

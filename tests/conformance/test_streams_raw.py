"""The server in memory answers single commands as Valkey and Redis 6.2 do."""

from math import inf
from typing import Any

from tests.conformance.transports import COMMAND, Connect, Raw

KEY = "amends:{q-default}:commands:normal"


async def filled(raw: Raw, count: int) -> None:
    await raw("XGROUP", "CREATE", KEY, "g", "0", "MKSTREAM")
    for _ in range(count):
        await raw("XADD", KEY, "*", "b", "x")
    await raw("XREADGROUP", "GROUP", "g", "a", "COUNT", count, "STREAMS", KEY, ">")


def names(entries: Any) -> int:
    return len([entry for entry in entries if entry and entry[0] is not None])


async def test_a_takeover_takes_no_more_than_count_and_says_where_to_go_on(remote: tuple[Connect, Raw]) -> None:
    _, raw = remote
    await filled(raw, 7)
    first = await raw("XAUTOCLAIM", KEY, "g", "b", 0, "0-0", "COUNT", 3)
    assert (names(first[1]), first[0] in (b"0-0", "0-0")) == (3, False)
    last = await raw("XAUTOCLAIM", KEY, "g", "b", 0, first[0], "COUNT", 9)
    assert (names(last[1]), last[0] in (b"0-0", "0-0")) == (4, True)


async def test_reading_own_pending_entries_counts_as_handing_them_out_again(remote: tuple[Connect, Raw]) -> None:
    _, raw = remote
    await filled(raw, 1)
    await raw("XREADGROUP", "GROUP", "g", "a", "COUNT", 9, "STREAMS", KEY, "0")
    pending = await raw("XPENDING", KEY, "g", "-", "+", 9)
    assert [times for *_, times in pending] == [2]


async def test_what_was_deleted_while_it_was_held_is_forgotten_at_the_first_look(remote: tuple[Connect, Raw]) -> None:
    """rule_L7: Redis 6.2 keeps it pending without its name, and every look would find that something is missing."""
    connect, raw = remote
    told: list[str] = []

    async def lost(incarnation: str) -> None:
        told.append(incarnation)

    sender, worker, other = connect("o"), connect("w1"), connect("w2")
    for one in (worker, other):
        await one.open(["default"])
    other.on_memory_lost(lost)
    await sender.publish([COMMAND], inf)
    (held,) = await worker.read(9, 1.0)
    await raw("XDEL", KEY, held.entry.split(" ")[1])
    assert await other.idle(0.0, 9) == []
    assert told == [""]
    assert await other.idle(0.0, 9) == []
    assert told == [""]

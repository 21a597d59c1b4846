"""Commands of the streams as they are answered: by the server in memory, by Valkey, by Redis 6.2."""

from typing import Any

import pytest

from consumers.scripts import DONE
from tests.conformance.transports import Connect, Raw

KEY, GROUP = "stream", "group"
HOUR_MS = 3_600_000


@pytest.fixture
async def raw(remote: tuple[Connect, Raw]) -> Raw:
    """A stream with a group."""
    _, ask = remote
    await ask("XGROUP", "CREATE", KEY, GROUP, "0", "MKSTREAM")
    return ask


async def handed_out(raw: Raw, entries: int) -> list[bytes]:
    """So many entries, which the consumer `a` has."""
    names = [await raw("XADD", KEY, "*", "b", number) for number in range(entries)]
    await raw("XREADGROUP", "GROUP", GROUP, "a", "COUNT", entries, "STREAMS", KEY, ">")
    return names


async def times(raw: Raw) -> list[int]:
    return [one[3] for one in await raw("XPENDING", KEY, GROUP, "-", "+", 10)]


async def claimed(raw: Raw, consumer: str, idle_ms: int, start: Any, count: int) -> tuple[Any, list[Any], int]:
    """Where to go on, the names of what was taken over, and how many are gone; each server tells it in its own way."""
    cursor, entries, *gone = await raw("XAUTOCLAIM", KEY, GROUP, consumer, idle_ms, start, "COUNT", count)
    there = [entry[0] for entry in entries if entry and entry[0] is not None]
    return cursor, there, len(entries) - len(there) + sum(map(len, gone))


async def test_who_reads_what_it_holds_is_handed_it_once_more(raw: Raw) -> None:
    await handed_out(raw, 2)
    await raw("XREADGROUP", "GROUP", GROUP, "a", "COUNT", 1, "STREAMS", KEY, "0")
    assert await times(raw) == [2, 1]
    await raw("XREADGROUP", "GROUP", GROUP, "b", "COUNT", 9, "STREAMS", KEY, "0")
    assert await times(raw) == [2, 1], "another holds nothing"


async def test_of_what_was_deleted_only_the_name_is_read_and_it_counts_no_further(raw: Raw) -> None:
    (name,) = await handed_out(raw, 1)
    await raw("XDEL", KEY, name)
    await raw("XREADGROUP", "GROUP", GROUP, "a", "COUNT", 9, "STREAMS", KEY, "0")
    assert await times(raw) == [1]


async def test_no_more_is_taken_over_than_was_asked_for_and_the_answer_says_where_to_go_on(raw: Raw) -> None:
    names = await handed_out(raw, 3)
    assert await claimed(raw, "b", 0, "0-0", 2) == (names[2], names[:2], 0)
    assert await claimed(raw, "b", 0, names[2], 2) == (b"0-0", names[2:], 0)
    assert await times(raw) == [2, 2, 2]


async def test_what_was_deleted_counts_as_taken_over(raw: Raw) -> None:
    names = await handed_out(raw, 3)
    await raw("XDEL", KEY, names[0])
    assert await claimed(raw, "b", 0, "0-0", 2) == (names[2], names[1:2], 1)


async def test_what_is_done_with_goes_and_what_nobody_was_given_stays(raw: Raw) -> None:
    """rule_C5: a server that has forgotten everything gives an id a second time, to what nobody has read."""
    held, left = await handed_out(raw, 2)
    await raw("XADD", KEY, "*", "b", "other")
    await raw("XREADGROUP", "GROUP", GROUP, "deleted", "COUNT", 1, "STREAMS", KEY, ">")
    unread = await raw("XADD", KEY, "*", "b", "new")
    assert await raw("EVAL", DONE, 1, KEY, GROUP, held, unread) == [1, 0]
    await raw("XGROUP", "DELCONSUMER", KEY, GROUP, "a")
    assert await raw("EVAL", DONE, 1, KEY, GROUP, held, left) == [0, 0], "somebody has deleted who held it"
    assert await raw("XLEN", KEY) == 2, "the other, and what nobody has read"
    assert await raw("EVAL", DONE, 1, KEY, "no group", unread) == [0]
    assert await raw("XLEN", KEY) == 2


async def test_any_number_of_entries_is_done_with_at_once(raw: Raw) -> None:
    """A worker that could send nothing for long, or starts again under its name, may have ten thousand."""
    names = [await raw("XADD", KEY, "*", "b", "") for _ in range(10)]
    await raw("XREADGROUP", "GROUP", GROUP, "a", "COUNT", 9, "STREAMS", KEY, ">")
    assert await raw("EVAL", DONE, 1, KEY, GROUP, *names[:9] * 1000) == [1] * 9 + [0] * 8991
    assert await raw("XLEN", KEY) == 1


@pytest.mark.parametrize("remote", ["in_memory", "valkey"], indirect=True)
async def test_what_was_deleted_is_told_of_however_short_it_was_held(raw: Raw) -> None:
    """Redis 6.2 tells of it once it is idle."""
    names = await handed_out(raw, 2)
    await raw("XDEL", KEY, names[0])
    assert await claimed(raw, "b", HOUR_MS, "0-0", 9) == (b"0-0", [], 1)
    assert await times(raw) == [1], "the other one"

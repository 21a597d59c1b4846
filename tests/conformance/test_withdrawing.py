"""Commands that are taken back unread: one contract for the transports in memory, of Valkey and of Redis 6.2."""

from dataclasses import replace
from math import inf
from typing import Any

from consumers.memory_server import MemoryServer
from consumers.scripts import WITHDRAW
from sagas.ports import WaitRow
from tests.conformance.transports import COMMAND, Connect, Raw
from tests.servers import raw_redis


def published(entry: str | None, **more: Any) -> WaitRow:
    """The row of the command, which stands in the stream."""
    row = WaitRow(COMMAND.saga_id, 2, "step", "hotel", None, 1, "default", "normal", 0.0, 0.0, 0.0, entry)
    return replace(row, **more)


async def test_a_command_that_nobody_has_read_is_taken_back_once_and_never_read(connect: Connect) -> None:
    """rule_L5."""
    sender, other, worker = connect("o1"), connect("o2"), connect("w")
    await worker.open(["default"])
    one, two = await sender.publish([COMMAND, replace(COMMAND, opened_by=3)], inf)
    assert await sender.withdraw([published(one), published("0-1")]) == [True, False]
    assert await other.withdraw([published(one)]) == [False]
    assert [entry.command.opened_by for entry in await worker.read(9, 1.0)] == [3]
    assert await sender.withdraw([published(two)]) == [False]


async def test_a_command_is_taken_back_though_no_worker_has_ever_come(connect: Connect) -> None:
    """rule_L5: that nobody is there is what start limits are for."""
    sender, worker = connect("o"), connect("w")
    (entry,) = await sender.publish([replace(COMMAND, queue="nobody", priority="low")], inf)
    looks = [await sender.withdraw([published(entry, queue="nobody", priority="low")]) for _ in range(2)]
    assert [True] in looks, "at the second look at the latest"
    await worker.open(["nobody"])
    assert await worker.read(9, 0.05) == []


async def test_what_was_read_is_not_taken_back_whatever_became_of_it(connect: Connect) -> None:
    sender, dead, other = connect("o"), connect("dead"), connect("other")
    for worker in (dead, other):
        await worker.open(["default"])
    (entry,) = await sender.publish([COMMAND], inf)
    await dead.read(9, 1.0)
    assert await sender.withdraw([published(entry)]) == [False]
    (taken,) = await other.idle(0.0, 9)
    assert await sender.withdraw([published(entry)]) == [False]
    assert await other.settle([taken.entry]) == [True]
    assert await sender.withdraw([published(entry)]) == [False]


async def test_that_an_entry_is_not_pending_is_no_proof_that_nobody_ran_it(remote: tuple[Connect, Raw]) -> None:
    """rule_L5: it is acknowledged first and deleted then, and a worker may die in between."""
    connect, raw = remote
    streams = connect("o")
    await streams.open(["default"])
    (entry,) = await streams.publish([COMMAND], inf)
    await streams.read(9, 1.0)
    assert await raw("XACK", "amends:{q-default}:commands:normal", "workers", entry) == 1
    assert await streams.withdraw([published(entry)]) == [False]


async def test_a_command_of_another_memory_is_no_proof_either(remote: tuple[Connect, Raw]) -> None:
    """rule_L7: the server may have forgotten who has read it."""
    connect, raw = remote
    streams = connect("o")
    (entry,) = await streams.publish([COMMAND], inf)
    await raw("DEL", "amends:{marker}")
    assert await streams.withdraw([published(entry)]) == [False]


async def test_a_server_whose_memory_is_full_gives_commands_back(remote: tuple[Connect, Raw]) -> None:
    """rule_C9: a backlog is what start limits are for."""
    connect, raw = remote
    streams = connect("o")
    await streams.open(["default"])
    (entry,) = await streams.publish([COMMAND], inf)
    await raw("CONFIG", "SET", "maxmemory", 1)
    try:
        assert await streams.withdraw([published(entry)]) == [True]
    finally:
        await raw("CONFIG", "SET", "maxmemory", 0)


async def test_the_server_in_memory_answers_as_valkey_does(redis_url: str) -> None:
    client = raw_redis(redis_url)
    client.response_callbacks.clear()
    server = MemoryServer(lambda: 1_767_225_600.0)
    told: list[list[Any]] = []

    async def ask(*command: Any) -> list[Any]:
        return [await client.execute_command(*command), server.execute(command)]

    names = [await ask("XADD", "s", "*", "b", body) for body in ("one", "two", "three")]
    for place, before in enumerate(
        [(), ("XGROUP", "CREATE", "s", "g", "0"), ("XREADGROUP", "GROUP", "g", "c", "COUNT", 2, "STREAMS", "s", ">")]
    ):
        if before:
            await ask(*before)
        real, other = ([side.decode() for side in sides] for sides in zip(*names, strict=True))
        asked = [real[place], other[place]]
        told.append([
            await client.execute_command("EVAL", WITHDRAW, 1, "s", "g", asked[0]),
            server.execute(("EVAL", WITHDRAW, 1, "s", "g", asked[1])),
        ])  # fmt: skip
    assert told == [[0, 0], [b"two", b"two"], [None, None]]
    await client.aclose()

"""Lost last writes of a failover: one contract for the server in memory, Valkey and Redis 6.2."""

from dataclasses import replace
from math import inf

from sagas.ports import WaitRow
from sagas.whereabouts import GONE, EntryState
from tests.conformance.replicas import Replica
from tests.conformance.transports import COMMAND, Connect


def published(opened_by: int, entry: str | None) -> WaitRow:
    """The row of a command that was sent."""
    return WaitRow(COMMAND.saga_id, opened_by, "step", "hotel", None, 1, "default", "normal", 0.0, 0.0, 0.0, entry)


async def test_what_was_written_last_before_a_failover_is_gone_and_nothing_older_is_run(
    replicated: tuple[Connect, Replica],
) -> None:
    """rule_L5, rule_L7: the lost one is looked for by its row; one that was settled reappears, of another memory."""
    connect, replica = replicated
    sender, one, two = connect("o"), connect("w1"), connect("w2")
    for worker in (one, two):
        await worker.open(["default"])
    told: list[str] = []

    async def memory_lost(incarnation: str) -> None:
        told.append(incarnation)

    sender.on_memory_lost(memory_lost)
    (settled, waiting) = await sender.publish([COMMAND, replace(COMMAND, opened_by=3)], inf)
    await replica.copy()
    (first,) = await one.read(1, 1.0)
    assert (first.entry.split(" ")[1], first.current) == (settled, True)
    await one.settle([first.entry])
    (lost,) = await sender.publish([replace(COMMAND, opened_by=4)], inf)
    await replica.take_over()

    rows = [published(3, waiting), published(4, lost)]
    assert await sender.inspect(rows) == [EntryState("queued", COMMAND.timeout), GONE]
    again = [*await one.read(9, 0.05), *await two.read(9, 0.05)]
    assert [(delivery.entry.split(" ")[1], delivery.current) for delivery in again] == [
        (settled, False), (waiting, False),
    ]  # fmt: skip
    assert await one.settle([delivery.entry for delivery in again]) == [True, True]
    (new,) = await sender.publish([replace(COMMAND, opened_by=5)], inf)
    assert new not in (settled, waiting, lost)
    (delivery,) = [*await two.read(9, 1.0), *await one.read(9, 0.05)]
    assert (delivery.command.opened_by, delivery.current, delivery.first_sent) == (5, True, True)
    assert len(told) == 1, "every sent command is looked for, once"

"""What is owed to the outside is written by the commit that made it true, and by no other (rule A3)."""

from dataclasses import replace

from eventstore.postgres import PostgresStore
from sagas.ports import OutboxRow
from tests.conformance.test_store import failed, move, saga_id, started, succeeded


async def owed(store: PostgresStore) -> list[tuple[str, str]]:
    rows = await store.pool.fetch("SELECT event_type, event_data ->> 'n' AS n FROM amends.event_outbox ORDER BY id")
    return [(row["event_type"], row["n"]) for row in rows]


async def test_a_start_and_a_move_bring_their_messages_and_who_loses_the_race_brings_none(store: PostgresStore) -> None:
    one = replace(started(1), outbox=(OutboxRow("job:enqueued", {"n": 1}),))
    await store.start([one])
    await store.start([replace(one, saga_id=saga_id(1))])
    won = replace(move(one.state, succeeded(one.state)), outbox=(OutboxRow("job:active", {"n": 2}),))
    lost = replace(move(one.state, failed(one.state, "first")), outbox=(OutboxRow("job:failed", {"n": 3}),))
    await store.append([won])
    await store.append([lost])
    assert await owed(store) == [("job:enqueued", "1"), ("job:active", "2")]


async def test_a_message_is_pending_with_its_limit_of_retries(store: PostgresStore) -> None:
    await store.start([replace(started(1), outbox=(OutboxRow("job:enqueued", {"n": 1}),))])
    row = await store.pool.fetchrow(
        "SELECT aggregate_id::text, status, retry_count, max_retries, published_at FROM amends.event_outbox"
    )
    assert tuple(row or ()) == (saga_id(1), "pending", 0, 10, None)

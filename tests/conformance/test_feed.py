"""The feed of both stores: whatever commits when, a reader meets every event once (rule A12)."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from eventstore.feed import Cursor, read
from eventstore.memory import MemoryStore
from eventstore.postgres import PostgresStore
from sagas.ports import Move
from tests.conformance.test_store import saga_id, started

Place = tuple[str, int]


class Feed(Protocol):
    """Transactions that write events, and one reader."""

    async def begin(self) -> Any:
        """Begin a transaction."""
        ...

    async def commit(self, transaction: Any, move: Move) -> None:
        """Start a saga within it, and commit."""
        ...

    async def read(self) -> list[Place]:
        """The events behind those that were read, by saga and sequence number."""
        ...


class FeedOfMemory:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._cursor = (0, 0)

    async def begin(self) -> Any:
        return self._store.begin()

    async def commit(self, transaction: Any, move: Move) -> None:
        self._store.within = transaction
        await self._store.start([move])
        self._store.within = None

    async def read(self) -> list[Place]:
        found = await self._store.feed(self._cursor)
        self._cursor = found[-1][0] if found else self._cursor
        return [(saga_id, entry.sequence) for _, saga_id, entry in found]


class FeedOfPostgres:
    def __init__(self, store: PostgresStore, ending: AsyncExitStack) -> None:
        self._store = store
        self._ending = ending
        self._cursor = Cursor()

    async def begin(self) -> Any:
        connection = await self._ending.enter_async_context(self._store.pool.acquire())
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT pg_current_xact_id()")
        return connection, transaction

    async def commit(self, transaction: Any, move: Move) -> None:
        connection, begun = transaction
        await self._store.start([move], connection)
        await begun.commit()

    async def read(self) -> list[Place]:
        found = await read(self._store.pool, self._cursor)
        self._cursor = found[-1].cursor if found else self._cursor
        return [(event.saga_id, event.sequence) for event in found]


@pytest.fixture
async def feed(store: Any) -> AsyncGenerator[Feed]:
    async with AsyncExitStack() as ending:
        yield FeedOfMemory(store) if isinstance(store, MemoryStore) else FeedOfPostgres(store, ending)


async def test_an_event_of_an_older_transaction_with_a_higher_position_is_not_skipped(feed: Feed) -> None:
    """rule_A12: on position alone it would be."""
    older, younger = await feed.begin(), await feed.begin()
    await feed.commit(younger, started(2))
    assert await feed.read() == [], "an older transaction may still commit"
    await feed.commit(older, started(1))
    assert await feed.read() == [(saga_id(number), sequence) for number in (1, 2) for sequence in (1, 2)]
    assert await feed.read() == []


async def test_the_events_before_the_oldest_open_transaction_can_be_read(feed: Feed) -> None:
    """rule_A12."""
    first, second, third = [await feed.begin() for _ in range(3)]
    await feed.commit(first, started(1))
    await feed.commit(third, started(3))
    assert await feed.read() == [(saga_id(1), 1), (saga_id(1), 2)]
    await feed.commit(second, started(2))
    assert await feed.read() == [(saga_id(number), sequence) for number in (2, 3) for sequence in (1, 2)]

"""The feed gives every event once, in one order, whatever commits when; projections can be filled anew and checked."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from amends.clock import LoopClock
from consumers.projector import Projector
from eventstore.feed import Cursor, FeedEvent, read
from eventstore.postgres import PostgresStore
from eventstore.projections import NewerVersion, Projection, advance, differs, rebuild
from orchestrator.engine import Engine
from sagas.inputs import Start
from tests.acceptance.running import until
from tests.conformance.test_store import MANIFEST, saga_id, started, succeeded


@pytest.fixture
async def store(store: PostgresStore, database_url: str) -> PostgresStore:
    owner = await asyncpg.connect(database_url)
    await owner.execute("CREATE TABLE public.counted (saga_id uuid PRIMARY KEY, events integer NOT NULL)")
    await owner.close()
    return store


async def count(connection: Any, events: Sequence[FeedEvent]) -> None:
    for event in events:
        await connection.execute(
            "INSERT INTO public.counted VALUES ($1, 1) ON CONFLICT (saga_id) DO UPDATE SET events = counted.events + 1",
            event.saga_id,
        )


COUNTED = Projection("counted", 1, "public.counted", count)


async def drained(store: PostgresStore, cursor: Cursor, limit: int = 3) -> tuple[list[tuple[str, int]], Cursor]:
    seen: list[tuple[str, int]] = []
    while events := await read(store.pool, cursor, limit):
        seen += [(event.saga_id, event.sequence) for event in events]
        cursor = events[-1].cursor
    return seen, cursor


async def test_concurrent_appends_are_read_once_each_and_in_their_sagas_order(store: PostgresStore) -> None:
    engines = [Engine(store, LoopClock()) for _ in range(4)]
    ids = [saga_id(number) for number in range(40)]
    reading = asyncio.create_task(_read_until(store, 40 * 6))

    async def work(engine: Engine, mine: list[str]) -> None:
        for one in mine:
            await engine.apply([Start(one, MANIFEST, None)])
            await engine.apply([succeeded((await store.heads([one]))[one])])
            await engine.apply([succeeded((await store.heads([one]))[one], step="second")])

    await asyncio.gather(*(work(engine, ids[place::4]) for place, engine in enumerate(engines)))
    seen = await reading
    assert len(seen) == len(set(seen)) == 40 * 6
    for one in ids:
        mine = [sequence for saga, sequence in seen if saga == one]
        assert mine == sorted(mine)


async def _read_until(store: PostgresStore, wanted: int) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []
    cursor = Cursor()
    async with asyncio.timeout(30):
        while len(seen) < wanted:
            more, cursor = await drained(store, cursor, 7)
            seen += more
    return seen


async def test_transactions_are_ordered_as_numbers(store: PostgresStore, database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    for sequence, transaction in enumerate((9, 10, 99, 100), 1):
        await owner.execute(
            "INSERT INTO amends.workflow_events (workflow_id, sequence_number, event_type, event_data, created_at, "
            "causation_id, transaction_id) VALUES ($1, $2, 'X', '{}', now(), 'c', $3::text::xid8)",
            saga_id(1), sequence, str(transaction),
        )  # fmt: skip
    await owner.close()
    seen, cursor = await drained(store, Cursor(), limit=2)
    assert ([sequence for _, sequence in seen], cursor.transaction_id) == ([1, 2, 3, 4], 100)


async def test_another_cluster_is_another_epoch_whose_transactions_may_count_from_anywhere(
    store: PostgresStore, database_url: str
) -> None:
    await store.start([started(1)])
    _, cursor = await drained(store, Cursor())
    owner = await asyncpg.connect(database_url)
    await owner.execute("UPDATE amends.cluster SET identity = 'the cluster of before'")
    assert await owner.fetchval("SELECT amends.meet_cluster()") == 2
    assert await owner.fetchval("SELECT amends.meet_cluster()") == 2
    await owner.close()
    far = Cursor(cursor.epoch, 2**62, cursor.position)
    await store.start([started(2)])
    seen, _ = await drained(store, far)
    assert seen == [(saga_id(2), 1), (saga_id(2), 2)]


async def test_a_projection_is_filled_in_batches_and_anew_for_a_new_version(store: PostgresStore) -> None:
    await store.start([started(number) for number in range(1, 6)])
    assert [await advance(store.pool, COUNTED, 4) for _ in range(4)] == [4, 4, 2, 0]
    assert await differs(store.pool, COUNTED) is None
    await store.pool.execute("UPDATE public.counted SET events = 7 WHERE saga_id = $1", saga_id(3))
    assert "5 rows" in (await differs(store.pool, COUNTED) or "")
    second = Projection("counted", 2, "public.counted", count)
    while await advance(store.pool, second, 4):
        pass
    assert await differs(store.pool, second) is None
    await store.pool.execute("DELETE FROM public.counted")
    await rebuild(store.pool, second)
    while await advance(store.pool, second, 4):
        pass
    assert await store.pool.fetchval("SELECT sum(events) FROM public.counted") == 10


async def test_two_projectors_apply_each_event_once(store: PostgresStore) -> None:
    await store.start([started(number) for number in range(1, 30)])

    async def work() -> None:
        for _ in range(40):
            await advance(store.pool, COUNTED, 5)

    await asyncio.gather(work(), work(), work())
    assert await store.pool.fetchval("SELECT sum(events) FROM public.counted") == 2 * 29


async def test_a_projection_that_fails_does_not_hold_the_others_and_goes_on_where_it_stood(
    store: PostgresStore,
) -> None:
    broken = [True]

    async def fail(connection: Any, events: Sequence[FeedEvent]) -> None:
        if broken[0]:
            await connection.execute("INSERT INTO public.counted VALUES (NULL, 0)")

    failing = Projection("failing", 1, "public.counted", fail)
    await store.start([started(1)])
    projector = Projector(store, [failing, COUNTED], LoopClock())
    assert await projector.run_once() == 2
    broken[0] = False
    again = Projector(store, [failing, COUNTED], LoopClock())
    assert await again.run_once() == 2, "the one that had failed"
    assert await store.pool.fetchval("SELECT sum(events) FROM public.counted") == 2


async def test_a_projection_is_checked_beside_a_projector_that_moves_it(store: PostgresStore) -> None:
    await store.start([started(1)])
    while await advance(store.pool, COUNTED):
        pass
    async with store.pool.acquire() as projector:
        moving = projector.transaction()
        await moving.start()
        await projector.execute("UPDATE amends.feed_cursors SET updated_at = clock_timestamp()")
        checking = asyncio.create_task(differs(store.pool, COUNTED))

        async def waits_for_the_lock() -> Any:
            return await projector.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")

        await until(waits_for_the_lock, 10)
        await moving.commit()
    assert await checking is None


async def test_what_newer_code_fills_is_left_alone_until_somebody_rebuilds_it(store: PostgresStore) -> None:
    await store.start([started(1)])
    newer = replace(COUNTED, version=2)
    assert await advance(store.pool, newer) == 2
    with pytest.raises(NewerVersion, match="version 2 fills it, and this code has version 1"):
        await advance(store.pool, COUNTED)
    projector = Projector(store, [COUNTED], LoopClock())
    assert await projector.run_once() == 0
    assert await differs(store.pool, newer) is None
    await rebuild(store.pool, COUNTED)
    assert await advance(store.pool, COUNTED) == 2


async def test_projectors_that_have_nothing_to_do_ask_one_question(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.start([started(1)])
    projector = Projector(store, [COUNTED], LoopClock())
    assert await projector.run_once() == 2

    async def not_asked(*_: object) -> int:
        raise AssertionError("it has nothing to do")

    with monkeypatch.context() as patch:
        patch.setattr("consumers.projector.advance", not_asked)
        assert await projector.run_once() == 0
    await store.start([started(2)])
    assert await projector.run_once() == 2

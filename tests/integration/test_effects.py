"""Transaction steps run exactly once, and giving up closes their key (rule_T1, rule_T2)."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from consumers.effects import PostgresTransactions
from consumers.execution import ClosedError
from eventstore.postgres import PostgresStore
from sagas.ports import Command
from tests.conformance.transports import COMMAND

STEP = replace(COMMAND, saga_id="01900000-0000-7000-8000-00000000000a")
UNDO = replace(STEP, role="undo", attempt=2)
FALLBACK = replace(STEP, role="fallback", attempt=2)


@pytest.fixture
async def store(store: PostgresStore, database_url: str) -> PostgresStore:
    owner = await asyncpg.connect(database_url)
    await owner.execute("CREATE TABLE public.ledger (line text)")
    await owner.close()
    return store


@pytest.fixture
def transactions(store: PostgresStore) -> PostgresTransactions:
    return PostgresTransactions(store.pool)


async def lines(store: PostgresStore) -> list[str]:
    return [row["line"] for row in await store.pool.fetch("SELECT line FROM ledger ORDER BY line")]


def writing(line: str, result: Any = None) -> Any:
    async def call(transaction: Any, found: Any = None) -> Any:
        await transaction.execute("INSERT INTO ledger VALUES ($1)", f"{line}{'' if found is None else found}")
        return result

    return call


async def test_a_second_execution_gives_the_first_ones_result(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    first = await transactions.run(STEP, writing("a", 1))
    second = await transactions.run(replace(STEP, attempt=2), writing("b", 2))
    assert (first.result, second.result) == (1, 1)
    assert await lines(store) == ["a"]


async def test_two_executions_at_once_write_once(store: PostgresStore, transactions: PostgresTransactions) -> None:
    found = await asyncio.gather(*(transactions.run(STEP, writing("a", n)) for n in range(5)))
    assert len({effect.result for effect in found}) == 1
    assert await lines(store) == ["a"]


async def test_a_handler_that_raises_leaves_nothing(store: PostgresStore, transactions: PostgresTransactions) -> None:
    async def call(transaction: Any, found: Any = None) -> Any:
        await transaction.execute("INSERT INTO ledger VALUES ('x')")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await transactions.run(STEP, call)
    assert await lines(store) == []
    assert (await transactions.run(STEP, writing("a", 1))).result == 1


async def test_a_timeout_leaves_nothing(store: PostgresStore, transactions: PostgresTransactions) -> None:
    async def call(transaction: Any, found: Any = None) -> Any:
        await transaction.execute("INSERT INTO ledger VALUES ('x')")
        await transaction.fetchval("SELECT pg_sleep(30)")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await transactions.run(STEP, call)
    assert await lines(store) == []
    assert await store.pool.fetchval("SELECT count(*) FROM amends.effects") == 0


async def test_a_closed_key_can_never_commit_any_more(store: PostgresStore, transactions: PostgresTransactions) -> None:
    assert (await transactions.undo(UNDO, writing("undo"))).closed
    assert await lines(store) == [], "nothing had happened, so nothing is undone"
    with pytest.raises(ClosedError):
        await transactions.run(STEP, writing("late"))
    with pytest.raises(ClosedError):
        await transactions.run(FALLBACK, writing("late"))
    assert await lines(store) == []


async def test_an_undo_takes_the_result_that_the_key_holds_and_runs_once(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    await transactions.run(STEP, writing("a", 7))
    assert not (await transactions.undo(UNDO, writing("undo "))).closed
    await transactions.undo(replace(UNDO, attempt=3), writing("again "))
    assert await lines(store) == ["a", "undo 7"]


async def test_an_undo_waits_for_an_execution_that_is_under_way(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    """rule_T2: not finding a row proves nothing."""
    entered, go = asyncio.Event(), asyncio.Event()

    async def slow(transaction: Any, found: Any = None) -> Any:
        await transaction.execute("INSERT INTO ledger VALUES ('a')")
        entered.set()
        await go.wait()
        return 7

    running = asyncio.create_task(transactions.run(STEP, slow))
    await entered.wait()
    undoing = asyncio.create_task(transactions.undo(UNDO, writing("undo ")))
    await asyncio.wait([undoing], timeout=0.2)
    assert not undoing.done()
    go.set()
    await running
    assert not (await undoing).closed
    assert await lines(store) == ["a", "undo 7"]


async def test_a_transactional_fallback_runs_once_after_the_steps_key_is_closed(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    assert (await transactions.close_key(FALLBACK)).closed
    first = await transactions.run(FALLBACK, writing("fallback", 1))
    second = await transactions.run(replace(FALLBACK, attempt=3), writing("again", 2))
    assert (first.result, second.result) == (1, 1)
    await transactions.undo(replace(UNDO, attempt=4), writing("undo "))
    assert await lines(store) == ["fallback", "undo 1"]


async def test_a_probe_says_whether_it_found_the_step_or_its_fallback(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    probe = replace(STEP, role="probe", attempt=3, evidence=2)
    await transactions.run(FALLBACK, writing("fallback", 1))
    found = await transactions.close_key(probe)
    assert (found.happened, found.fallback, found.result) == (True, True, 1)
    other = replace(probe, saga_id="01900000-0000-7000-8000-00000000000b")
    await transactions.run(replace(other, role="step"), writing("a", 5))
    found = await transactions.close_key(other)
    assert (found.happened, found.fallback, found.result) == (True, False, 5)


async def test_a_transactional_undo_of_a_plain_step_runs_once_for_each_sign_of_an_effect(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    await transactions.run(replace(UNDO, evidence=3), writing("undo 3"))
    await transactions.run(replace(UNDO, attempt=3, evidence=3), writing("again 3"))
    await transactions.run(replace(UNDO, attempt=4, evidence=9), writing("undo 9"))
    assert await lines(store) == ["undo 3", "undo 9"]


async def test_a_fallback_closes_the_step_or_finds_its_result(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    assert (await transactions.close_key(FALLBACK)).closed
    other: Command = replace(STEP, saga_id="01900000-0000-7000-8000-00000000000b")
    await transactions.run(other, writing("a", 5))
    found = await transactions.close_key(replace(other, role="fallback"))
    assert (found.happened, found.result) == (True, 5)

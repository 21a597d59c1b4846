"""The documented views: events with the requirements' columns, one row for each attempt, dead letters."""

import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from uuid import UUID, uuid5

import pytest

from amends.clock import LoopClock
from eventstore.census import open_sagas
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.inputs import Start
from sagas.manifest import Handler, RetryPolicy
from sagas.state import State
from tests.conformance.test_store import MANIFEST, failed, saga_id, succeeded

ONE = saga_id(1)


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[PostgresStore]:
    """One saga: its first step failed once and waits."""
    opened = await PostgresStore.open(database_url)
    await opened.put_manifest(MANIFEST)
    engine = Engine(opened, LoopClock())
    await engine.apply([Start(ONE, MANIFEST, {"n": 1}, key="k")])
    word = failed((await opened.heads([ONE]))[ONE], "first")
    await engine.apply([replace(word, error={**(word.error or {}), "retryable": True})])
    yield opened
    await opened.close()


async def test_open_sagas_are_counted_by_their_definition(store: PostgresStore, database_url: str) -> None:
    assert await open_sagas(database_url, MANIFEST.name) == 1
    assert await open_sagas(database_url, "another") == 0


async def test_a_database_that_is_away_or_empty_has_no_count_of_open_sagas(database_url: str) -> None:
    assert await open_sagas("postgresql://u@127.0.0.1:1/x", "any") is None
    empty = re.sub(r"/[^/?]+\?", "/postgres?", database_url)
    assert await open_sagas(empty, "any") is None


@pytest.mark.parametrize("name", ["first", "first/0", "", "ação/12", "x" * 55, "x" * 56, "x" * 64, "y" * 200])
async def test_the_databases_uuid5_is_everybodys(store: PostgresStore, name: str) -> None:
    assert await store.pool.fetchval("SELECT amends.uuid5($1, $2)", UUID(ONE), name) == uuid5(UUID(ONE), name)


async def test_events_have_the_columns_of_the_requirements(store: PostgresStore) -> None:
    """req_E1, req_X29, req_X47."""
    rows = await store.pool.fetch("SELECT * FROM amends.events WHERE workflow_id = $1 ORDER BY sequence_number", ONE)
    assert list(rows[0].keys()) == [
        "id", "workflow_id", "step_id", "event_type", "event_data", "sequence_number", "created_at", "processed_at",
        "retry_count", "status",
    ]  # fmt: skip
    assert [row["event_type"] for row in rows] == ["SagaStarted", "StepScheduled", "StepFailed"]
    assert [row["step_id"] for row in rows] == [UUID(ONE), uuid5(UUID(ONE), "first"), uuid5(UUID(ONE), "first")]


async def test_the_queue_and_its_history_have_a_row_for_what_waits_and_for_each_attempt(store: PostgresStore) -> None:
    """req_E7, req_X7, req_X8."""
    (waiting,) = await store.pool.fetch("SELECT * FROM amends.job_queue")
    assert (str(waiting["job_id"]), waiting["step"], waiting["status"]) == (ONE, "first", "delayed")
    (attempt,) = await store.pool.fetch("SELECT * FROM amends.job_queue_history")
    told = (attempt["step"], attempt["attempts"], attempt["status"], attempt["queue_name"], attempt["error_message"])
    assert told == ("first", 1, "failed", "one", "no")


async def test_a_dead_letter_is_an_operators_wait(store: PostgresStore) -> None:
    undo = Handler("u", retry=RetryPolicy(delays=()))
    manifest = replace(MANIFEST, name="stuck", nodes=(replace(MANIFEST.nodes[0], undo=undo), MANIFEST.nodes[1]))
    await store.put_manifest(manifest)
    engine, other = Engine(store, LoopClock()), saga_id(2)

    async def head() -> State:
        return (await store.heads([other]))[other]

    await engine.apply([Start(other, manifest, None)])
    await engine.apply([succeeded(await head())])
    await engine.apply([failed(await head(), "second")])
    await engine.apply([failed(await head(), "first")])
    (letter,) = await store.pool.fetch("SELECT * FROM amends.dead_letters")
    told = (str(letter["job_id"]), letter["status"], letter["step"], letter["reason"])
    assert told == (other, "failed", "first", "undo_failed")

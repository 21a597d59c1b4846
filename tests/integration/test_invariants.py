"""`amends doctor --invariants` finds what is wrong: each kind of damage, done on purpose, is named."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import asyncpg
import pytest

from amends.clock import LoopClock
from eventstore.invariants import check
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.inputs import Start
from sagas.manifest import Manifest
from tests.conformance.test_store import MANIFEST, failed, saga_id, succeeded
from tests.unit.test_decisions import node


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[PostgresStore]:
    """One saga that waits for a retry, one whose second step is out, one that is over."""
    opened = await PostgresStore.open(database_url)
    await opened.put_manifest(MANIFEST)
    engine = Engine(opened, LoopClock())
    ids = [saga_id(number) for number in (1, 2, 3)]
    await engine.apply([Start(one, MANIFEST, None, key=one) for one in ids])
    one, two, three = (await opened.heads(ids)).values()
    word = failed(one, "first")
    await engine.apply(
        [replace(word, error={**(word.error or {}), "retryable": True}), succeeded(two), succeeded(three)]
    )
    await engine.apply([succeeded((await opened.heads([ids[2]]))[ids[2]], step="second")])
    yield opened
    await opened.close()


async def test_a_healthy_database_has_no_finding(store: PostgresStore) -> None:
    report = await check(store.pool)
    assert (report.sagas, report.violations) == (3, ())


async def test_a_start_limit_that_is_looked_at_again_is_no_finding(store: PostgresStore) -> None:
    """rule_A10: its row is moved by what is found, like the check of the command that it is about."""
    limited = Manifest("limited", (node("a", schedule_timeout=60.0),), input="x", input_schema={})
    await store.put_manifest(limited)
    await Engine(store, LoopClock()).apply([Start(saga_id(4), limited, None)])
    (limit,) = [row for row in await store.waits(saga_id(4)) if row.kind == "deadline"]
    await store.postpone([(saga_id(4), limit.opened_by, 5.0)])
    assert (await check(store.pool)).violations == ()


async def test_a_message_that_is_on_its_way_is_no_finding(store: PostgresStore) -> None:
    """rule_A10: its row goes without an event."""
    await store.pool.execute(
        "INSERT INTO amends.waits SELECT saga_id, 99, 'notify', NULL, NULL, 1, NULL, NULL, now(), now() "
        "FROM amends.sagas"
    )
    assert (await check(store.pool)).violations == ()


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        ("UPDATE amends.waits SET due_at = 'infinity' WHERE kind = 'retry'", "the waits are those of the fold"),
        ("UPDATE amends.waits SET step = 'other' WHERE kind = 'retry'", "the waits are those of the fold"),
        ("DELETE FROM amends.waits", "every open saga has a wait"),
        ("UPDATE amends.waits SET kind = 'deadline', queue = NULL", "every open saga has a wait"),
        ("UPDATE amends.sagas SET key = NULL", "the columns are those of the head"),
        ("UPDATE amends.sagas SET held = true", "the columns are those of the head"),
        ("UPDATE amends.sagas SET version = 99", "sequence numbers have no gaps"),
        (
            "UPDATE amends.sagas SET state = replace(state::text, '\"retries\":1', '\"retries\":2')::json",
            "the head is the fold of the events",
        ),
        (
            "INSERT INTO amends.waits SELECT saga_id, 99, 'step', 'first', NULL, 1, 'q', 'normal', since, since FROM "
            "amends.waits LIMIT 1",
            "the waits are those of the fold",
        ),
        (
            "INSERT INTO amends.waits SELECT saga_id, n, 'operator', 'first', NULL, 1, NULL, NULL, since, since FROM "
            "(SELECT * FROM amends.waits LIMIT 1) AS one, generate_series(98, 99) AS n",
            "one operator's wait for one thing",
        ),
        (
            "INSERT INTO amends.waits SELECT saga_id, 99, 'step', 'first', NULL, 1, 'q', 'normal', now(), now() FROM "
            "amends.sagas WHERE status = 'completed'",
            "a terminal saga waits for nothing that runs",
        ),
        (
            "INSERT INTO amends.workflow_events (workflow_id, sequence_number, event_type, event_data, created_at, "
            'causation_id) SELECT saga_id, version + 1, \'StepScheduled\', \'{"step": "first", "attempt": 1}\', now(), '
            "'x' FROM amends.sagas",
            "no two executions share an attempt",
        ),
        (
            "INSERT INTO amends.workflow_events (workflow_id, sequence_number, event_type, event_data, created_at, "
            "causation_id) VALUES ('01900000-0000-7000-8000-00000000ffff', 1, 'SagaStarted', '{}', now(), 'x')",
            "every event belongs to a saga",
        ),
    ],
)
async def test_damage_is_named(store: PostgresStore, database_url: str, damage: str, rule: str) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute(damage)
    await owner.close()
    assert rule in {found.rule for found in (await check(store.pool)).violations}

"""`marketplace_job_executions` folded from events: its states, its reasons, and what is no job (req. X6, X8)."""

import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import marketplace
from amends import FeedEvent, views
from eventstore.feed import Cursor
from eventstore.migrate import migrate
from marketplace.jobs import project
from sagas.codec import encode
from sagas.events import SagaStarted
from sagas.evolve import evolve
from sagas.state import State
from tests.property.test_core import play
from tests.shown import view_of

JOB = "01900000-0000-7000-8000-000000000001"
ERROR = {"type": "E", "code": "c", "message": "no", "attempt": 1, "retryable": True}


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Any]:
    assert marketplace.application.migrations is not None
    await migrate(database_url, {"marketplace": marketplace.application.migrations})
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def plan(database: Any) -> str:
    plan_id, document_id = uuid4(), uuid4()
    await database.execute(
        "INSERT INTO public.marketplace_documents (id, filename, kind, text) VALUES ($1, 'a', 'text', 'x')", document_id
    )
    await database.execute(
        "INSERT INTO public.marketplace_plans (id, document_id, channels, status) VALUES ($1, $2, '{A}', 'pending')",
        plan_id, document_id,
    )  # fmt: skip
    return str(plan_id)


async def status(database: Any, *events: tuple[str, dict[str, Any]]) -> Any:
    told = [
        FeedEvent(Cursor(1, 1, place), JOB, place, kind, data, 1000.0 + place)
        for place, (kind, data) in enumerate(events, 1)
    ]
    await project(database, told)
    row = await database.fetchrow("SELECT * FROM public.marketplace_job_executions WHERE job_id = $1", JOB)
    return None if row is None else (row["status"], row["attempt_number"], row["error_message"])


async def test_a_job_is_pending_until_it_begins_and_between_retries_then_active_and_at_an_end(database: Any) -> None:
    start = ("SagaStarted", {"definition": "approval", "input": {"plan_id": await plan(database)}})
    assert await status(database, start) == ("pending", 1, None)
    assert await status(database, ("StepStarted", {"step": "plan", "attempt": 1})) == ("active", 1, None)
    retry = ("StepFailed", {"step": "plan", "attempt": 1, "error": ERROR, "retry_in": 1.0})
    assert await status(database, retry) == ("pending", 1, "no")
    assert await status(database, ("StepSucceeded", {"step": "plan", "attempt": 2})) == ("active", 2, "no")
    assert await status(database, ("SagaCompleted", {})) == ("completed", 2, None)


@pytest.mark.parametrize(("ending", "shown"), [("SagaCompensated", "failed"), ("SagaFailed", "failed")])
async def test_a_job_that_turned_back_is_failed_with_its_reason(database: Any, ending: str, shown: str) -> None:
    start = ("SagaStarted", {"definition": "analysis", "input": {"plan_id": await plan(database)}})
    back = ("SagaTurnedBack", {"cause": "failure", "error": ERROR})
    assert await status(database, start, back) == ("active", 1, "no")
    assert await status(database, (ending, {})) == (shown, 1, "no")


async def test_what_is_no_job_or_has_no_plan_is_left_alone(database: Any) -> None:
    other = ("SagaStarted", {"definition": "trip", "input": {"city": "Lima"}})
    unknown = ("SagaStarted", {"definition": "approval", "input": {"plan_id": str(uuid4())}})
    nonsense = ("SagaStarted", {"definition": "approval", "input": {"plan_id": "no id"}})
    large = ("SagaStarted", {"definition": "approval", "payload": "hash"})
    assert await status(database, other, unknown, nonsense, large, ("SagaCompleted", {})) is None


async def test_a_late_word_leaves_an_ended_job_ended_until_it_is_reopened(database: Any) -> None:
    start = ("SagaStarted", {"definition": "approval", "input": {"plan_id": await plan(database)}})
    back = ("SagaTurnedBack", {"cause": "failure", "error": ERROR})
    late = ("WaitOpened", {"step": "plan", "kind": "operator", "cause": "late_effect"})
    assert await status(database, start, back, ("SagaCompensated", {}), late) == ("failed", 1, "no")
    assert await status(database, ("SagaReopened", {"cause": "operator"})) == ("active", 1, "no")


async def test_what_becomes_of_an_undo_changes_neither_state_nor_reason(database: Any) -> None:
    start = ("SagaStarted", {"definition": "approval", "input": {"plan_id": await plan(database)}})
    back = ("SagaTurnedBack", {"cause": "failure", "error": ERROR})
    refused = ("StepRefused", {"step": "plan", "attempt": 2, "role": "undo", "reason": "no_handler", "again_in": 1.0})
    other = {**ERROR, "message": "cannot"}
    failed = ("UndoFailed", {"step": "plan", "attempt": 2, "error": other, "retry_in": 1.0})
    assert await status(database, start, back, refused, failed) == ("active", 2, "no")


async def test_a_large_result_is_shown_too_and_that_of_an_undone_job_is_not(database: Any) -> None:
    start = ("SagaStarted", {"definition": "approval", "input": {"plan_id": await plan(database)}})
    body = json.dumps([{"id": "t1"}]).encode()
    await database.execute("INSERT INTO amends.payloads (hash, body) VALUES ('h', $1)", body)
    await status(database, start, ("StepSucceeded", {"step": "tasks", "attempt": 1, "payload": "h"}))
    asked = "SELECT result::text FROM public.marketplace_job_executions WHERE job_id = $1"
    assert json.loads(await database.fetchval(asked, JOB)) == {"success": True, "taskIds": ["t1"]}
    await status(database, ("SagaCompensated", {}))
    assert await database.fetchval(asked, JOB) is None


@pytest.mark.parametrize("trouble", [0.1, 0.3, 0.6, 0.9])
async def test_after_every_event_of_any_history_the_row_says_what_the_job_view_says(
    database: Any, trouble: float
) -> None:
    plan_id = await plan(database)
    for seed in range(12):
        world = play(seed, trouble)
        job_id = f"01900000-0000-7000-8000-{seed:012d}"
        state = State(world.state.saga_id)
        for entry in world.history:
            state = evolve(state, entry)
            data = encode(entry.event)
            if isinstance(entry.event, SagaStarted):
                data |= {"definition": "approval", "input": {"plan_id": plan_id}}
            cursor = Cursor(1, 1, entry.sequence)
            kind = type(entry.event).__name__
            await project(database, [FeedEvent(cursor, job_id, entry.sequence, kind, data, entry.at)])
            shown: Any = views.job(await view_of(world.manifest, state, world.history[: entry.sequence]))
            row = await database.fetchrow(
                "SELECT *, extract(epoch FROM completed_at)::float8 AS ended_at "
                "FROM public.marketplace_job_executions WHERE job_id = $1", job_id,
            )  # fmt: skip
            where = f"seed {seed}, event {entry.sequence}: {entry.event}"
            assert (row["status"], row["attempt_number"]) == (shown["status"], max(shown["attempts"], 1)), where
            assert (row["ended_at"] is None) == (shown["completedAt"] is None), where
            if shown["error"] is not None:
                assert row["error_message"] == shown["error"]["message"], where

"""`marketplace_job_executions` folded from events: its states, its reasons, and what is no job (req. X6, X8)."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import marketplace
from amends import FeedEvent
from eventstore.feed import Cursor
from eventstore.migrate import migrate
from marketplace.jobs import project

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

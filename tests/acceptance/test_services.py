"""Reconciler and notifier beside the others: jobs become rows, a healthy system has no finding."""

import json
from typing import Any

import pytest

from tests.acceptance.running import Running, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_jobs_become_rows_and_a_healthy_system_has_no_finding(made: Running) -> None:
    """req_E5, req_X7, req_X8, rule_K1."""
    saga_id = await made.approve(await made.pending_plan())
    await made.ended(saga_id)

    async def row() -> Any:
        return await made.database.fetchrow(
            "SELECT status, attempt_number, error_message, result::text, completed_at FROM "
            "marketplace_job_executions WHERE job_id = $1 AND status = 'completed'",
            saga_id,
        )

    found = await until(row, 10)
    assert (found["attempt_number"], found["error_message"]) == (2, None), "the fallback of phase 1 is attempt 2"
    result = json.loads(found["result"])
    assert (result["success"], len(result["taskIds"])) == (True, 3)
    attempts = await made.database.fetch(
        "SELECT plan_id, queue_name, status FROM public.job_queue_history WHERE job_id = $1::text::uuid", saga_id
    )
    assert {row["queue_name"] for row in attempts} == {"default", "phase1-tasks", "task-assignment"}
    assert all(row["plan_id"] is not None for row in attempts)

    async def looked() -> Any:
        told = made.amends("reconcile", "--once", "--json")
        report = json.loads(told.stdout)
        assert (report["findings"], report["busy"]) == ([], told.returncode == 1), told.stdout + told.stderr
        return not report["busy"]  # the one that runs here may be looking

    await until(looked, 30)
    made.check_invariants()
    names = set(json.loads((made.folder / "runtime.json").read_text("utf-8"))["pids"])
    assert {"reconciler", "notifier"} <= names


async def test_a_job_that_is_undone_is_a_failed_row_with_its_reason(broken: Running) -> None:
    saga_id = await broken.approve(await broken.pending_plan())
    assert (await broken.ended(saga_id))["status"] == "compensated"

    async def row() -> Any:
        return await broken.database.fetchrow(
            "SELECT * FROM marketplace_job_executions WHERE job_id = $1 AND status = 'failed'", saga_id
        )

    assert (await until(row, 10))["error_message"] == "injected fault"
    broken.check_invariants()

"""Failures of the approval on real processes: undone in order, or on an operator's desk that `explain` describes."""

from typing import Any

import pytest

from tests.acceptance.running import PLAN, Running, running, until

TASKS = len(PLAN["opportunities"])


def faults(text: str) -> dict[str, str]:
    return {
        "AMENDS_DEVELOPMENT": "1",
        "AMENDS_FAULTS": text,
        "QUEUE_MAX_RETRIES": "0",
        "AMENDS_STEP_TIMEOUT": "1",
    }


async def approved(made: Running) -> tuple[str, dict[str, Any]]:
    plan_id = await made.pending_plan()
    return plan_id, await made.ended(await made.approve(plan_id))


async def undone(made: Running, saga: dict[str, Any]) -> list[str]:
    _, found = await made.call("GET", f"/api/sagas/{saga['sagaId']}/events?limit=1000")
    return [entry["data"]["step"] for entry in found["items"] if entry["type"] == "StepUndone"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_step_that_fails_for_good_leaves_nothing_behind(broken: Running) -> None:
    plan_id, saga = await approved(broken)
    assert saga["status"] == "compensated"
    assert await undone(broken, saga) == ["assignment", "tasks", "plan"]
    plan = await broken.plan(plan_id)
    assert (plan["status"], plan["tasks"]) == ("pending", [])
    _, job = await broken.call("GET", f"/api/marketplace/jobs/{saga['sagaId']}")
    assert (job["status"], job["error"]["outcome"]) == ("failed", "compensated")
    again = await broken.approve(plan_id)
    assert again != saga["sagaId"], "a compensated approval frees its key: it can be approved again"
    broken.check_invariants()


async def test_a_commit_whose_answer_is_lost_is_undone_too() -> None:
    async with running(environment=faults("approval.tasks=maybe")) as made:
        plan_id, saga = await approved(made)
        assert saga["status"] == "compensated"
        plan = await made.plan(plan_id)
        assert (plan["status"], plan["tasks"]) == ("pending", [])
        made.check_invariants()


async def test_a_step_that_never_answers_is_undone() -> None:
    async with running(environment=faults("approval.published=hang")) as made:
        plan_id, saga = await approved(made)
        assert saga["status"] == "compensated"
        assert (await made.plan(plan_id))["tasks"] == []
        made.check_invariants()


async def test_behind_the_pivot_a_failure_waits_for_an_operator_and_explain_says_so() -> None:
    async with running(environment=faults("approval.notified=fail")) as made:
        plan_id, saga = await approved(made)
        assert saga["status"] == "active"
        assert [(wait["kind"], wait["step"]) for wait in saga["waits"]] == [("operator", "notified")]
        assert len((await made.plan(plan_id))["tasks"]) == TASKS
        said = made.amends("explain", saga["sagaId"])
        assert ": step notified failed, and behind the pivot nothing is undone" in said.stdout
        assert "injected fault" in said.stdout
        listed = made.amends("saga", "list", "--waiting", "operator")
        assert saga["sagaId"] in listed.stdout
        refused = made.amends("saga", "cancel", saga["sagaId"], "--reason", "too late")
        assert refused.returncode == 1
        assert "the pivot 'published' has passed" in refused.stderr
        passed = next(step["endedAt"] for step in saga["steps"] if step["step"] == "published")
        assert f"has passed at {passed}" in refused.stderr
        made.check_invariants()


async def test_a_cancelled_approval_lets_the_step_in_flight_end_and_is_undone() -> None:
    async with running(environment=faults("approval.assignment=sleep:3") | {"AMENDS_STEP_TIMEOUT": "10"}) as made:
        plan_id = await made.pending_plan()
        saga_id = await made.approve(plan_id)

        async def assigning() -> bool:
            steps = (await made.saga(saga_id))["steps"]
            return any(step["step"] == "assignment" and step["status"] != "pending" for step in steps)

        await until(assigning, 20)
        status, told = await made.call("POST", f"/api/sagas/{saga_id}/cancel", json={"reason": "changed our mind"})
        assert status == 200, told
        saga = await made.ended(saga_id)
        assert saga["status"] == "compensated"
        plan = await made.plan(plan_id)
        assert (plan["status"], plan["tasks"]) == ("pending", [])
        _, found = await made.call("GET", f"/api/sagas/{saga_id}/events")
        assert [entry["type"] for entry in found["items"]].count("CancelRequested") == 1
        made.check_invariants()

"""Plans and the sagas that own them: whatever ends a saga is said on the plan, and no other saga touches it."""

import io
import os
import signal
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.acceptance.running import Running, until

UPLOAD = "/api/marketplace/analysis/upload"
LINE = "SKU 17 Amazon sem estoque ha 9 dias\n"

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def upload(made: Running, text: str, channels: tuple[str, ...] = ("Amazon",)) -> dict[str, Any]:
    data = aiohttp.FormData()
    data.add_field("file", io.BytesIO(text.encode()), filename="a.txt")
    for channel in channels:
        data.add_field("channels", channel)
    status, found = await made.call("POST", UPLOAD, data=data)
    assert status == 202, found
    return dict(found)


async def approve(made: Running, plan_id: str) -> tuple[int, Any]:
    return await made.call("PATCH", f"/api/marketplace/analysis/{plan_id}", json={"action": "approve"})


async def analysed(made: Running, plan_id: str) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        plan = await made.plan(plan_id)
        return plan if plan["status"] != "analysing" else None

    return await until(found, 30)


async def test_the_longest_document_is_analysed(made: Running) -> None:
    text = "".join(f"SKU {number} sem estoque\n" for number in range(41_000))
    found = await upload(made, text, tuple(f"canal {number}" for number in range(3)))
    assert (await analysed(made, found["planId"]))["status"] == "pending"


async def test_a_plan_is_analysed_by_one_saga_only(made: Running) -> None:
    found = await upload(made, LINE)
    before = await analysed(made, found["planId"])
    assert before["status"] == "pending"
    document_id = await made.database.fetchval("SELECT document_id::text FROM marketplace_plans WHERE id = $1",
                                               found["planId"])  # fmt: skip
    given = {"plan_id": found["planId"], "document_id": document_id, "channels": ["Amazon"]}
    status, again = await made.call("POST", "/api/sagas", json={"definition": "analysis", "input": given})
    assert status == 201
    assert (await made.ended(again["sagaId"]))["status"] == "compensated"
    assert await made.plan(found["planId"]) == before


async def test_a_plan_is_approved_by_one_saga_only(made: Running) -> None:
    plan_id = await made.pending_plan()
    first = await made.approve(plan_id)
    given = {"plan_id": plan_id, "approved_by": "eve"}
    status, second = await made.call("POST", "/api/sagas", json={"definition": "approval", "input": given})
    assert status == 201
    assert {(await made.ended(saga))["status"] for saga in (first, second["sagaId"])} == {"completed", "compensated"}
    plan = await made.plan(plan_id)
    assert (plan["status"], len(plan["tasks"])) == ("ready", 3)
    status, told = await approve(made, plan_id)
    assert (status, told["sagaId"]) == (202, first)


async def test_approving_twice_is_one_saga_whoever_started_it(made: Running) -> None:
    plan_id = await made.pending_plan()
    given = {"plan_id": plan_id, "approved_by": "ana"}
    _, started = await made.call("POST", "/api/sagas", json={"definition": "approval", "input": given})
    assert (await made.ended(started["sagaId"]))["status"] == "completed"
    status, told = await approve(made, plan_id)
    assert (status, told["sagaId"]) == (202, started["sagaId"])
    assert (await made.plan(plan_id))["approvedBy"] == "ana"


async def test_a_failed_plan_says_why_and_what_to_do(made: Running) -> None:
    found = await upload(made, "lorem 1 ipsum")
    plan = await analysed(made, found["planId"])
    assert plan["status"] == "failed"
    assert "no channel gave an opportunity" in plan["error"]
    status, problem = await approve(made, found["planId"])
    assert status == 409
    assert problem["errors"][0]["remedy"] == "upload the document again, or another one"
    assert "no channel gave an opportunity" in problem["detail"]


async def test_a_cancelled_analysis_leaves_a_cancelled_plan_with_the_reason(made: Running) -> None:
    workers = made.pids("worker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        found = await upload(made, LINE)
        status, _ = await made.call("POST", f"/api/sagas/{found['sagaId']}/cancel", json={"reason": "wrong file"})
        assert status == 200
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    assert (await made.ended(found["sagaId"]))["status"] == "compensated"
    plan = await analysed(made, found["planId"])
    assert (plan["status"], plan["error"]) == ("cancelled", "wrong file")
    status, problem = await approve(made, found["planId"])
    assert (status, problem["errors"][0]["remedy"]) == (409, "upload the document again")


async def test_an_analysis_that_fails_at_its_text_leaves_a_failed_plan(made: Running) -> None:
    plan_id = await made.pending_plan()
    await made.database.execute("UPDATE marketplace_plans SET status = 'analysing' WHERE id = $1", plan_id)
    given = {"plan_id": plan_id, "document_id": str(uuid4()), "channels": ["Amazon"]}
    _, started = await made.call("POST", "/api/sagas", json={"definition": "analysis", "input": given})
    assert (await made.ended(started["sagaId"]))["status"] == "compensated"
    row = await made.database.fetchrow("SELECT status, error FROM marketplace_plans WHERE id = $1", plan_id)
    assert row is not None
    assert (row["status"], row["error"]) == ("failed", f"document {given['document_id']} does not exist")


async def test_an_analysis_that_fails_at_its_first_step_leaves_a_failed_plan_too(broken: Running) -> None:
    found = await upload(broken, LINE)
    assert (await broken.ended(found["sagaId"]))["status"] == "compensated"
    plan = await broken.plan(found["planId"])
    assert (plan["status"], plan["error"]) == ("failed", "injected fault")
    broken.check_invariants()

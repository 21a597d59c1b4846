"""`Idempotency-Key`: the same key and body are one request, whoever repeats it, and when."""

import asyncio
import io
import json
import os
import signal
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.acceptance.running import Running

UPLOAD = "/api/marketplace/analysis/upload"
NOBODY = "00000000-0000-7000-8000-000000000000"
Told = tuple[int, str | None, bytes]

pytestmark = pytest.mark.asyncio(loop_scope="session")


def form(text: str, channel: str = "Amazon") -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("file", io.BytesIO(text.encode()), filename="a.txt")
    data.add_field("channels", channel)
    return data


async def keyed(made: Running, key: str, method: str, path: str, **options: Any) -> Told:
    """Status, Location and body of the answer to a request with a key."""
    headers = {"Idempotency-Key": key, **options.pop("headers", {})}
    async with made.http.request(method, f"{made.runtime['url']}{path}", headers=headers, **options) as response:
        return response.status, response.headers.get("Location"), await response.read()


async def starting(made: Running, **more: object) -> dict[str, Any]:
    plan_id = await made.pending_plan()
    return {"definition": "approval", "input": {"plan_id": plan_id, "approved_by": "a"}, **more}


async def count(made: Running, table: str) -> int:
    return int(await made.database.fetchval(f"SELECT count(*) FROM {table}"))


async def crash(made: Running, key: str) -> None:
    """As if the process had died after its commit, half a minute ago."""
    await made.database.execute(
        "UPDATE amends.request_keys SET status = NULL, headers = NULL, body = NULL, answered_at = NULL, "
        "runs_until = now() - interval '1 s' WHERE key = $1",
        key,
    )


async def test_a_start_is_answered_as_before_and_done_once(made: Running) -> None:
    body, key = await starting(made), str(uuid4())
    first = await keyed(made, key, "POST", "/api/sagas", json=body)
    assert first[0] == 201
    saga_id = json.loads(first[2])["sagaId"]
    assert first[1] == f"/api/sagas/{saga_id}"
    await made.ended(saga_id)
    sagas = await count(made, "amends.sagas")
    assert await keyed(made, key, "POST", "/api/sagas", json=body) == first
    assert await keyed(made, key, "POST", "/api/sagas", json=dict(reversed(body.items()))) == first
    assert await count(made, "amends.sagas") == sagas
    status, _, other = await keyed(made, key, "POST", "/api/sagas", json={**body, "key": "another"})
    problem = json.loads(other)
    assert (status, problem["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert problem["errors"][0]["remedy"]


@pytest.mark.parametrize("key_of_saga", [False, True])
async def test_a_start_that_is_repeated_after_a_crash_meets_its_saga(made: Running, key_of_saga: bool) -> None:
    key = str(uuid4())
    body = await starting(made, **({"key": key} if key_of_saga else {}))
    first = json.loads((await keyed(made, key, "POST", "/api/sagas", json=body))[2])
    await crash(made, key)
    status, location, raw = await keyed(made, key, "POST", "/api/sagas", json=body)
    again = json.loads(raw)
    assert (status, location) == (201, f"/api/sagas/{first['sagaId']}")
    assert (again["sagaId"], again["created"]) == (first["sagaId"], True)


async def test_twins_are_one_request(made: Running) -> None:
    body, key = await starting(made), str(uuid4())
    told = await asyncio.gather(*(keyed(made, key, "POST", "/api/sagas", json=body) for _ in range(12)))
    assert len(set(told)) == 1
    assert told[0][0] == 201
    found = await made.database.fetchval(
        "SELECT count(*) FROM amends.workflow_events WHERE event_type = 'SagaStarted' AND event_data::text LIKE $1",
        f"%{body['input']['plan_id']}%",
    )
    assert found == 1


async def test_an_upload_is_done_once_also_after_a_crash(made: Running) -> None:
    key, text = str(uuid4()), f"SKU 1 sem estoque {uuid4()}"
    first = await keyed(made, key, "POST", UPLOAD, data=form(text))
    assert first[0] == 202
    rows = await count(made, "marketplace_plans"), await count(made, "marketplace_documents")
    assert await keyed(made, key, "POST", UPLOAD, data=form(text)) == first
    await crash(made, key)
    assert await keyed(made, key, "POST", UPLOAD, data=form(text)) == first
    assert (await count(made, "marketplace_plans"), await count(made, "marketplace_documents")) == rows
    assert (await keyed(made, key, "POST", UPLOAD, data=form(text, "Shopee")))[0] == 422
    assert (await keyed(made, key, "POST", UPLOAD, data=form(text + "x")))[0] == 422


async def test_an_approval_is_answered_as_before(made: Running) -> None:
    key, path = str(uuid4()), f"/api/marketplace/analysis/{await made.pending_plan()}"
    first = await keyed(made, key, "PATCH", path, json={"action": "approve"})
    assert first[0] == 202
    assert await keyed(made, key, "PATCH", path, json={"action": "approve"}) == first
    await crash(made, key)
    assert await keyed(made, key, "PATCH", path, json={"action": "approve"}) == first
    assert (await keyed(made, key, "PATCH", path, json={"action": "approve", "approvedBy": "b"}))[0] == 422
    other = f"/api/marketplace/analysis/{await made.pending_plan()}"
    assert (await keyed(made, key, "PATCH", other, json={"action": "approve"}))[0] == 422


async def test_a_cancel_that_is_repeated_after_the_saga_has_ended_is_still_done(made: Running) -> None:
    key, workers = str(uuid4()), made.pids("worker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        _, started = await made.call("POST", "/api/sagas", json=await starting(made))
        path = f"/api/sagas/{started['sagaId']}/cancel"
        first = await keyed(made, key, "POST", path, json={"reason": "why"})
        assert first[0] == 200
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    assert (await made.ended(started["sagaId"]))["status"] == "compensated"
    assert await keyed(made, key, "POST", path, json={"reason": "why"}) == first
    await crash(made, key)
    status, _, raw = await keyed(made, key, "POST", path, json={"reason": "why"})
    assert (status, json.loads(raw)["status"]) == (200, "compensated")
    assert (await keyed(made, str(uuid4()), "POST", path, json={"reason": "why"}))[0] == 409


async def test_a_refusal_is_kept_too(made: Running) -> None:
    key, path = str(uuid4()), f"/api/sagas/{NOBODY}/cancel"
    first = await keyed(made, key, "POST", path, json={"reason": "why"})
    assert first[0] == 404
    assert await keyed(made, key, "POST", path, json={"reason": "why"}) == first


async def test_keys_belong_to_their_caller(made: Running) -> None:
    told = made.amends("keys", "create", "other", "--role", "producer")
    headers = {"Authorization": f"Bearer {told.stdout.strip()}"}
    key, body = str(uuid4()), await starting(made)
    mine = json.loads((await keyed(made, key, "POST", "/api/sagas", json=body))[2])
    theirs = json.loads((await keyed(made, key, "POST", "/api/sagas", json=body, headers=headers))[2])
    assert mine["sagaId"] != theirs["sagaId"]


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
async def test_a_malformed_key_is_refused(made: Running, key: str) -> None:
    status, _, raw = await keyed(made, key, "POST", "/api/sagas", json=await starting(made))
    problem = json.loads(raw)
    assert (status, problem["errors"][0]["field"]) == (400, "Idempotency-Key")


async def test_the_longest_key_is_taken_and_two_are_refused(made: Running) -> None:
    body = await starting(made)
    assert (await keyed(made, "k e y~" + "x" * 249, "POST", "/api/sagas", json=body))[0] == 201
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    async with made.http.post(f"{made.runtime['url']}/api/sagas", json=body, headers=headers) as response:
        assert response.status == 400


async def test_nothing_is_broken_by_all_that(made: Running) -> None:
    made.check_invariants()


async def test_an_approval_that_comes_too_early_may_be_repeated_under_its_key(made: Running) -> None:
    plan_id, key = await made.pending_plan(), str(uuid4())
    path, body = f"/api/marketplace/analysis/{plan_id}", {"action": "approve"}
    state = "UPDATE marketplace_plans SET status = $2 WHERE id = $1"
    await made.database.execute(state, plan_id, "analysing")
    status, _, problem = await keyed(made, key, "PATCH", path, json=body)
    assert (status, json.loads(problem)["errors"][0]["remedy"]) == (409, "ask again when it is pending")
    await made.database.execute(state, plan_id, "pending")
    status, location, approved = await keyed(made, key, "PATCH", path, json=body)
    assert status == 202
    assert await keyed(made, key, "PATCH", path, json=body) == (status, location, approved)
    await made.ended(json.loads(approved)["sagaId"])

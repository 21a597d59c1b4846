"""Keys with roles, made and revoked on the command line, shown to the API."""

import json
from typing import Any

import aiohttp
import pytest

from tests.acceptance.running import Running, until

UPLOAD = "/api/marketplace/analysis/upload"
NOBODY = "00000000-0000-7000-8000-000000000000"

pytestmark = pytest.mark.asyncio(loop_scope="session")


def key(made: Running, name: str, role: str) -> dict[str, str]:
    told = made.amends("keys", "create", name, "--role", role, "--json")
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout))


def shown(made: Running, name: str, role: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {key(made, name, role)['key']}"}}


ROLES = [
    ("GET", "/api/sagas", "viewer", 200),
    ("GET", f"/api/sagas/{NOBODY}", "viewer", 404),
    ("GET", f"/api/sagas/{NOBODY}/events", "viewer", 404),
    ("GET", f"/api/marketplace/analysis/{NOBODY}", "viewer", 404),
    ("GET", f"/api/marketplace/jobs/{NOBODY}", "viewer", 404),
    ("POST", "/api/sagas", "producer", 400),
    ("POST", UPLOAD, "producer", 415),
    ("PATCH", f"/api/marketplace/analysis/{NOBODY}", "producer", 400),
    ("POST", f"/api/marketplace/analysis/{NOBODY}", "producer", 400),
    ("POST", f"/api/sagas/{NOBODY}/signals/x", "producer", 400),
    ("POST", "/api/sagas/hold", "operator", 400),
    ("POST", "/api/sagas/release", "operator", 400),
    *(
        ("POST", f"/api/sagas/{NOBODY}/{verb}", "operator", 400)
        for verb in ("cancel", "hold", "release", "retry", "correct", "resolve")
    ),
]


async def test_each_route_asks_for_its_role(made: Running) -> None:
    order = ["viewer", "producer", "operator"]
    for role in order:
        options = shown(made, f"a {role}", role)
        for method, path, needed, status in ROLES:
            answered, found = await made.call(method, path, **options)
            if order.index(role) >= order.index(needed):
                assert answered == status, (method, path, found)
            else:
                assert answered == found["status"] == 403, (method, path, found)
                assert f"needs the role {needed}" in found["errors"][0]["message"]
                assert f"--role {needed}" in found["errors"][0]["remedy"]


async def test_without_a_valid_key_nothing_is_told(made: Running) -> None:
    for path in ("/api/sagas", "/nothing", f"/api/sagas/{NOBODY}/cancel"):
        for header in ("", "Bearer", "Bearer amends_x_y", "Basic amends_x_y", "Bearer " + "a" * 5000):
            status, found = await made.call("POST", path, headers={"Authorization": header})
            assert (status, found["errors"][0]["field"]) == (401, "Authorization")


async def test_what_is_done_is_recorded_under_the_name_of_the_key(made: Running) -> None:
    plan_id = await made.pending_plan()
    body = {"definition": "approval", "input": {"plan_id": plan_id, "approved_by": "a"}}
    _, started = await made.call("POST", "/api/sagas", json=body, **shown(made, "till 7", "producer"))
    _, history = await made.call("GET", f"/api/sagas/{started['sagaId']}/events")
    assert history["items"][0]["actor"] == "till 7"
    plan_id = await made.pending_plan()
    path = f"/api/marketplace/analysis/{plan_id}"
    _, approved = await made.call("PATCH", path, json={"action": "approve"}, **shown(made, "till 8", "producer"))
    _, history = await made.call("GET", f"/api/sagas/{approved['sagaId']}/events")
    assert history["items"][0]["actor"] == "till 8"
    await made.ended(approved["sagaId"])
    assert (await made.plan(plan_id))["approvedBy"] == "till 8"


async def test_a_revoked_key_soon_opens_nothing(made: Running) -> None:
    found = key(made, "gone", "viewer")
    headers = {"Authorization": f"Bearer {found['key']}"}
    assert (await made.call("GET", "/api/sagas", headers=headers))[0] == 200
    assert made.amends("keys", "revoke", found["prefix"]).returncode == 0

    async def refused() -> bool:
        return (await made.call("GET", "/api/sagas", headers=headers))[0] == 401

    await until(refused, 10)
    again = made.amends("keys", "revoke", found["prefix"])
    assert (again.returncode, "amends keys list" in again.stderr) == (1, True)


async def test_a_name_belongs_to_one_key_until_it_is_revoked(made: Running) -> None:
    found = key(made, "twin", "viewer")
    again = made.amends("keys", "create", "twin", "--role", "operator")
    assert (again.returncode, again.stdout) == (1, "")
    assert "there is a key 'twin'" in again.stderr
    assert made.amends("keys", "revoke", found["prefix"]).returncode == 0
    assert key(made, "twin", "operator")["prefix"] != found["prefix"]


async def test_lists_show_keys_and_no_secret(made: Running) -> None:
    found = key(made, "listed", "producer")
    rows = {row["prefix"]: row for row in json.loads(made.amends("keys", "list", "--json").stdout)}
    row = rows[found["prefix"]]
    assert (row["name"], row["role"], row["revokedAt"]) == ("listed", "producer", None)
    told = made.amends("keys", "list").stdout
    assert "listed" in told
    assert found["key"] not in told


async def test_a_key_is_taken_as_the_client_shows_it(made: Running) -> None:
    told = made.amends("keys", "create", "client", "--role", "viewer")
    assert told.returncode == 0
    headers = {"Authorization": f"Bearer {told.stdout.strip()}"}
    async with aiohttp.ClientSession(headers=headers) as client, client.get(f"{made.runtime['url']}/api/sagas") as got:
        assert got.status == 200

"""The API from outside: what it answers, and how it refuses what is wrong."""

import io
import json
import os
import signal
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.running import Running, until

SAMPLES = Path(__file__).parent.parent.parent / "marketplace" / "samples"
UPLOAD = "/api/marketplace/analysis/upload"
NOBODY = "00000000-0000-7000-8000-000000000000"


pytestmark = pytest.mark.asyncio(loop_scope="session")


def form(content: bytes, filename: str, channels: tuple[str, ...] = ("Amazon",)) -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("file", io.BytesIO(content), filename=filename)
    for channel in channels:
        data.add_field("channels", channel)
    return data


SEALED_DOCX = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le")
WORKBOOK = (SAMPLES / "relatorio-de-vendas.xlsx").read_bytes()


def bomb() -> bytes:
    """A workbook whose sheet unpacks to 300 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 300_000_000)
    return buffer.getvalue()


def encrypted_pdf() -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter()
    writer.append(PdfReader(SAMPLES / "listing-audit.pdf"))
    writer.encrypt("secret", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def png() -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


async def plans(made: Running) -> int:
    return int(await made.database.fetchval("SELECT count(*) FROM marketplace_plans"))


@pytest.mark.parametrize(
    "name", ["relatorio-de-vendas.xlsx", "listing-audit.pdf", "exportacao-de-anuncios.csv", "reuniao.docx"]
)
async def test_a_document_becomes_a_plan_whose_reasons_quote_it(made: Running, name: str) -> None:
    content = (SAMPLES / name).read_bytes()
    status, found = await made.call("POST", UPLOAD, data=form(content, name, ("Amazon", "Mercado Livre")))
    assert status == 202
    assert found["jobId"] == found["sagaId"]

    async def analysed() -> dict[str, Any] | None:
        plan = await made.plan(found["planId"])
        return plan if plan["status"] != "analysing" else None

    plan = await until(analysed, 20)
    assert plan["status"] == "pending"
    text = await made.database.fetchval(
        "SELECT text FROM marketplace_documents d JOIN marketplace_plans p ON p.document_id = d.id WHERE p.id = $1",
        found["planId"],
    )
    for opportunity in plan["plan"]["opportunities"]:
        quote = opportunity["reason"].partition("“")[2].rstrip("”")
        assert quote in " ".join(text.split())


async def test_approving_answers_before_any_step_and_twice_is_one_saga(made: Running) -> None:
    plan_id = await made.pending_plan()
    path = f"/api/marketplace/analysis/{plan_id}"
    async with made.http.patch(f"{made.runtime['url']}{path}", json={"action": "approve"}) as response:
        assert response.status == 202
        first = await response.json()
        assert response.headers["Location"] == f"/api/marketplace/jobs/{first['jobId']}"
    assert first["message"] == "Plan approved. Phase 1 creation queued."
    assert first["status"] == "approved"
    _, second = await made.call("POST", path, json={"action": "approve"})
    assert second["sagaId"] == first["sagaId"]
    saga = await made.ended(first["sagaId"])
    assert saga["status"] == "completed"
    _, job = await made.call("GET", f"/api/marketplace/jobs/{first['jobId']}")
    assert (job["status"], job["progress"], job["planId"], job["fallback"]) == ("completed", 100, plan_id, True)
    tasks = (await made.plan(plan_id))["tasks"]
    assert [task["status"] for task in tasks] == ["assigned"] * 3
    assert job["result"] == {"success": True, "taskIds": [task["id"] for task in tasks]}


async def test_an_approval_is_accepted_while_every_worker_is_stopped(made: Running) -> None:
    workers = made.pids("worker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        plan_id = await made.pending_plan()
        saga_id = await made.approve(plan_id)
        assert (await made.saga(saga_id))["status"] == "active"
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    assert (await made.ended(saga_id))["status"] == "completed"
    made.check_invariants()


CASES = [
    ("an empty file", form(b"", "a.csv"), 422, "file"),
    ("a file of 50 MB", form(b"a," * 25_000_000, "a.csv"), 413, "file"),
    ("a picture", form(png(), "a.png"), 415, "file"),
    ("a picture that says it is a table", form(png(), "a.csv"), 415, "file"),
    ("text that says it is a PDF", form(b"hello", "a.pdf"), 415, "file"),
    ("an encrypted PDF", form(encrypted_pdf(), "a.pdf"), 422, "file"),
    ("a broken PDF", form(b"%PDF-1.7 nothing", "a.pdf"), 422, "file"),
    ("a zip bomb", form(bomb(), "a.xlsx"), 422, "file"),
    ("an encrypted DOCX", form(SEALED_DOCX, "a.docx"), 422, "file"),
    ("a workbook that says it is a DOCX", form(WORKBOOK, "a.docx"), 415, "file"),
    ("a broken workbook", form(b"PK\x03\x04 nothing", "a.xlsx"), 422, "file"),
    ("no channel", form(b"a,b", "a.csv", ()), 422, "channels"),
    ("an empty channel", form(b"a,b", "a.csv", ("",)), 422, "channels"),
    ("too many channels", form(b"a,b", "a.csv", tuple(map(str, range(21)))), 422, "channels"),
]


@pytest.mark.parametrize(("data", "status", "field"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_a_bad_upload_is_refused_by_name_and_leaves_nothing(
    made: Running, data: aiohttp.FormData, status: int, field: str
) -> None:
    before = await plans(made)
    async with made.http.post(f"{made.runtime['url']}{UPLOAD}", data=data) as response:
        problem = json.loads(await response.read())
        assert response.status == status, problem
        assert response.content_type == "application/problem+json"
    assert problem["errors"][0]["field"] == field
    assert problem["errors"][0]["remedy"]
    assert await plans(made) == before


async def test_a_document_that_says_nothing_fails_its_analysis_with_the_reason(made: Running) -> None:
    _, found = await made.call("POST", UPLOAD, data=form(b"lorem;ipsum\ndolor;sit", "a.csv"))
    saga = await made.ended(found["sagaId"])
    assert saga["status"] == "compensated"
    assert "no channel gave an opportunity" in saga["error"]["message"]
    assert (await made.plan(found["planId"]))["status"] == "failed"
    status, problem = await made.call(
        "PATCH", f"/api/marketplace/analysis/{found['planId']}", json={"action": "approve"}
    )
    assert (status, problem["title"]) == (409, "Plan cannot be approved")


REQUESTS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/nothing", {}, 404),
    ("DELETE", "/api/sagas", {}, 405),
    ("GET", f"/api/marketplace/analysis/{NOBODY}", {}, 404),
    ("GET", "/api/marketplace/analysis/rubbish", {}, 404),
    ("GET", f"/api/marketplace/jobs/{NOBODY}", {}, 404),
    ("PATCH", f"/api/marketplace/analysis/{NOBODY}", {"json": {"action": "approve"}}, 404),
    ("PATCH", f"/api/marketplace/analysis/{NOBODY}", {"json": {"action": "explode"}}, 422),
    ("PATCH", f"/api/marketplace/analysis/{NOBODY}", {"data": b"{not json"}, 400),
    ("PATCH", f"/api/marketplace/analysis/{NOBODY}", {"data": b"[]"}, 400),
    ("PATCH", f"/api/marketplace/analysis/{NOBODY}", {"json": {"action": "a\u0000"}}, 422),
    ("PATCH", f"/api/marketplace/analysis/{NOBODY}", {"data": b'{"action": "\xff"}'}, 400),
    ("POST", UPLOAD, {"json": {}}, 415),
    ("POST", UPLOAD, {"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
    ("POST", UPLOAD, {"data": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400),
    ("POST", "/api/sagas", {"json": {"definition": "nobody", "input": {}}}, 404),
    ("POST", "/api/sagas", {"json": {"definition": "approval", "input": {}}}, 422),
    ("POST", "/api/sagas", {"json": {"definition": "approval", "input": {"plan_id": 1, "approved_by": []}}}, 422),
    ("POST", "/api/sagas", {"json": {"definition": 3}}, 422),
    ("POST", "/api/sagas", {"json": {"definition": "approval", "input": "\u0000"}}, 422),
    ("POST", "/api/sagas", {"data": io.BytesIO(b" " * 2_000_000)}, 413),
    ("POST", "/api/sagas", {"data": b"a=b", "headers": {"Content-Type": "text/html"}}, 415),
    ("GET", "/api/sagas?limit=0", {}, 400),
    ("GET", "/api/sagas?limit=x", {}, 400),
    ("GET", "/api/sagas?status=odd", {}, 400),
    ("GET", "/api/sagas?cursor=odd", {}, 400),
    ("GET", f"/api/sagas/{NOBODY}", {}, 404),
    ("GET", f"/api/sagas/{NOBODY}/events", {}, 404),
    ("GET", "/api/sagas/rubbish", {}, 404),
    ("POST", f"/api/sagas/{NOBODY}/cancel", {"json": {"reason": "x"}}, 404),
    ("POST", f"/api/sagas/{NOBODY}/cancel", {"json": {}}, 422),
]


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    REQUESTS,
    ids=[f"{r[0]} {r[1][:50]} {r[3]} {n}" for n, r in enumerate(REQUESTS)],
)
async def test_a_bad_request_gets_a_problem_document(
    made: Running, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    async with made.http.request(method, f"{made.runtime['url']}{path}", **options) as response:
        problem = json.loads(await response.read())
        assert response.status == status, problem
        assert response.content_type == "application/problem+json"
        assert problem["status"] == status
        assert problem["title"]
        assert problem["detail"]
        assert response.headers["X-Request-Id"] == problem["requestId"]
        if status == 405:
            assert response.headers["Allow"]


@pytest.mark.parametrize("key", [None, "wrong", "Bearer wrong", "Basic abc"])
async def test_without_the_key_nothing_is_told(made: Running, key: str | None) -> None:
    headers = {"Authorization": key} if key is not None else {}
    async with aiohttp.ClientSession() as stranger:
        for path in ("/api/sagas", UPLOAD, "/nothing"):
            async with stranger.get(f"{made.runtime['url']}{path}", headers=headers) as response:
                assert response.status == 401
                assert response.content_type == "application/problem+json"
        for path in ("/livez", "/readyz"):
            async with stranger.get(f"{made.runtime['url']}{path}") as response:
                assert response.status == 200


async def test_a_start_answers_201_then_200_then_409(made: Running) -> None:
    plan_id = await made.pending_plan()
    body = {"definition": "approval", "input": {"plan_id": plan_id, "approved_by": "a"}, "key": f"k-{plan_id}"}
    status, first = await made.call("POST", "/api/sagas", json=body)
    assert (status, first["created"]) == (201, True)
    status, second = await made.call("POST", "/api/sagas", json=body)
    assert (status, second["created"], second["sagaId"]) == (200, False, first["sagaId"])
    body["input"] = {"plan_id": plan_id, "approved_by": "b"}
    status, problem = await made.call("POST", "/api/sagas", json=body)
    assert (status, problem["title"]) == (409, "Key conflict")


async def test_sagas_are_listed_in_pages(made: Running) -> None:
    for _ in range(3):
        await made.approve(await made.pending_plan())
    seen: list[str] = []
    cursor = ""
    while True:
        _, page = await made.call("GET", f"/api/sagas?limit=2{cursor}")
        seen += [row["sagaId"] for row in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == await made.database.fetchval("SELECT count(*) FROM amends.sagas")

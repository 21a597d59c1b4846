"""Whatever is sent, the answer is a problem document that names the field, and the API goes on."""

import asyncio
import io
import json
from typing import Any

import aiohttp
import pytest

from tests.acceptance.running import Running

UPLOAD = "/api/marketplace/analysis/upload"
NOBODY = "00000000-0000-7000-8000-000000000000"
BOUNDARY = b"b"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.txt"'
CHANNEL = b'Content-Disposition: form-data; name="channels"'

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def sent(made: Running, head: bytes, body: bytes = b"") -> tuple[int, dict[str, str], dict[str, Any]]:
    """What raw bytes are answered with: status, headers, document."""
    host, _, port = made.runtime["url"].removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(20):
            writer.write(head + b"\r\n\r\n" + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            document = json.loads(await reader.readexactly(int(headers["content-length"])))
    finally:
        writer.close()
    return int(lines[0].split()[1]), headers, document


async def refused(made: Running, head: bytes, status: int, field: str, body: bytes = b"") -> dict[str, Any]:
    answered, headers, problem = await sent(made, head, body)
    assert answered == status == problem["status"], problem
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == problem["requestId"]
    assert problem["errors"][0]["field"] == field, problem
    assert problem["errors"][0]["remedy"]
    return problem


def asking(made: Running, line: bytes, *headers: bytes) -> bytes:
    key = b"Authorization: Bearer " + made.runtime["api_key"].encode()
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: here", key, *headers])


def posting(made: Running, path: str, content_type: bytes, body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: " + str(len(body)).encode()
    return asking(made, b"POST " + path.encode(), length, b"Content-Type: " + content_type, *headers)


def form(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"--b\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts) + b"--b--\r\n"


NO_HTTP = [
    ("a long path", b"GET /" + b"a" * 9000, (), 400, "request"),
    ("a long header", b"GET /livez", (b"X-A: " + b"a" * 9000,), 400, "request"),
    ("many headers", b"GET /livez", tuple(b"X-%d: a" % number for number in range(500)), 400, "request"),
    ("an unknown method", b"FOO /livez", (), 400, "method"),
    ("a raw letter in the path", b"GET /\xc3\xa9", (), 400, "path"),
    ("a space in the path", b"GET /a b", (), 400, "request"),
    ("no number as the length", b"POST /api/sagas", (b"Content-Length: x",), 400, "request"),
    ("a negative length", b"POST /api/sagas", (b"Content-Length: -1",), 400, "request"),
    ("two hosts", b"GET /livez", (b"Host: there",), 400, "request"),
    ("two lengths", b"POST /api/sagas", (b"Content-Length: 2", b"Transfer-Encoding: chunked"), 400, "request"),
    ("an unknown expectation", b"GET /livez", (b"Expect: nope",), 417, "Expect"),
    ("an unknown expectation nowhere", b"GET /nothing", (b"Expect: nope",), 417, "Expect"),
    ("a key that is no UTF-8", b"GET /api/sagas", (), 401, "Authorization"),
]


@pytest.mark.parametrize(("line", "headers", "status", "field"), [case[1:] for case in NO_HTTP],
                         ids=[case[0] for case in NO_HTTP])  # fmt: skip
async def test_what_is_no_http_gets_a_problem_document_too(
    made: Running, line: bytes, headers: tuple[bytes, ...], status: int, field: str
) -> None:
    head = asking(made, line, *headers)
    if status == 401:
        head = head.replace(b"Bearer ", b"Bearer \xff")
    await refused(made, head, status, field)


async def test_a_chunk_whose_size_is_no_number_is_refused(made: Running) -> None:
    head = asking(made, b"POST /api/sagas", b"Transfer-Encoding: chunked", b"Content-Type: application/json")
    await refused(made, head, 400, "request", b"xyz\r\n")


async def test_none_of_it_is_a_traceback_in_the_log(made: Running) -> None:
    assert "Traceback" not in (made.folder / "logs" / "api.log").read_text("utf-8")


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"nonsense"])
@pytest.mark.parametrize("path", [UPLOAD, "/api/sagas", f"/api/sagas/{NOBODY}/cancel"])
async def test_a_compressed_body_is_refused(made: Running, path: str, coding: bytes) -> None:
    head = posting(made, path, b"application/json", b"{}", b"Content-Encoding: " + coding)
    await refused(made, head, 415, "Content-Encoding", b"{}")


FORMS = [
    ("a NUL in the file's name", form((FILE.replace(b"a.txt", b"a%00.txt").replace(b"filename=", b"filename*=utf-8''")
                                       .replace(b'"a%00.txt"', b"a%00.txt"), b"x")), 422, "file"),
    ("a name of 9,000 characters", form((FILE.replace(b"a.txt", b"a" * 9000 + b".txt"), b"x")), 400, "body"),
    ("a header without a colon", form((FILE + b"\r\nnonsense", b"x")), 400, "body"),
    ("5,000 headers", form((FILE + b"".join(b"\r\nX-%d: a" % number for number in range(5000)), b"x")), 400, "body"),
    ("a charset first", form((b'Content-Disposition: form-data; name="_charset_"', b"x"), (FILE, b"x")), 400, "body"),
    ("a long charset", form((b'Content-Disposition: form-data; name="_charset_"', b"x" * 99)), 400, "body"),
    ("a channel of 5,000 bytes", form((FILE, b"x"), (CHANNEL, b"c" * 5000)), 422, "channels"),
    ("a channel of 61 characters", form((FILE, b"x"), (CHANNEL, b"c" * 61)), 422, "channels"),
    ("a part nobody knows", form((FILE.replace(b'"file"', b'"filo"'), b"x")), 422, "filo"),
    ("two files", form((FILE, b"x"), (FILE, b"x")), 422, "file"),
    ("no file", form((CHANNEL, b"Amazon")), 422, "file"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "field"), [case[1:] for case in FORMS], ids=[case[0] for case in FORMS])
async def test_a_bad_form_is_refused_by_its_part(made: Running, body: bytes, status: int, field: str) -> None:
    await refused(made, posting(made, UPLOAD, b"multipart/form-data; boundary=b", body), status, field, body)


async def test_thousands_of_parts_do_not_hold_others_up(made: Running) -> None:
    body = form((FILE, b"x"), *[(CHANNEL, b"Amazon")] * 40_000)
    began = asyncio.get_running_loop().time()
    await refused(made, posting(made, UPLOAD, b"multipart/form-data; boundary=b", body), 422, "channels", body)
    assert asyncio.get_running_loop().time() - began < 1


async def test_a_long_file_name_keeps_its_type(made: Running) -> None:
    data = aiohttp.FormData()
    data.add_field("file", io.BytesIO(b"SKU 1 sem estoque"), filename="a" * 300 + ".txt")
    data.add_field("channels", "Amazon")
    status, found = await made.call("POST", UPLOAD, data=data)
    assert status == 202, found


def nested(levels: int) -> bytes:
    return b'{"definition": "approval", "input": ' + b"[" * levels + b"]" * levels + b"}"


JSON: list[tuple[str, bytes, int, str]] = [
    ("99 levels", nested(98), 422, "input"),
    ("102 levels", nested(101), 422, "body"),
    ("300 levels", nested(300), 422, "body"),
    ("3,000 levels", nested(3000), 422, "body"),
    ("no id", b'{"definition": "approval", "input": {"plan_id": "x", "approved_by": "a"}}', 422, "plan_id"),
    ("an unknown definition", b'{"definition": "nobody", "input": {}}', 404, "definition"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "field"), [case[1:] for case in JSON], ids=[case[0] for case in JSON])
async def test_a_bad_document_is_refused_by_its_field(made: Running, body: bytes, status: int, field: str) -> None:
    problem = await refused(made, posting(made, "/api/sagas", b"application/json", body), status, field, body)
    assert ("nested too deeply" in problem["detail"]) == (field == "body")


LINES = [
    (b"GET /api/sagas?key=%00", 400, "key"),
    (b"GET /api/sagas?definition=%00", 400, "definition"),
    (b"GET /api/sagas?limit=" + b"9" * 4400, 400, "limit"),
    (b"GET /nothing", 404, "path"),
    (b"DELETE /api/sagas", 405, "method"),
    (f"GET /api/sagas/{NOBODY}".encode(), 404, "id"),
    (f"GET /api/marketplace/jobs/{NOBODY}".encode(), 404, "jobId"),
    (f"GET /api/marketplace/analysis/{NOBODY}".encode(), 404, "id"),
]


@pytest.mark.parametrize(("line", "status", "field"), LINES, ids=[line[0][:40].decode() for line in LINES])
async def test_a_bad_line_is_refused_by_its_field(made: Running, line: bytes, status: int, field: str) -> None:
    await refused(made, asking(made, line), status, field)


async def test_a_conflict_and_a_refused_cancel_name_field_and_remedy(made: Running) -> None:
    plan_id = await made.pending_plan()
    for by, status in (("a", 201), ("b", 409)):
        body = {"definition": "approval", "input": {"plan_id": plan_id, "approved_by": by}, "key": plan_id}
        answered, found = await made.call("POST", "/api/sagas", json=body)
        assert answered == status, found
    assert found["errors"][0]["field"] == "key"
    assert found["errors"][0]["remedy"]
    saga_id = await made.approve(plan_id)
    assert (await made.ended(saga_id))["status"] == "completed"
    answered, problem = await made.call("POST", f"/api/sagas/{saga_id}/cancel", json={"reason": "late"})
    assert (answered, problem["errors"][0]["field"]) == (409, "id")
    assert problem["errors"][0]["remedy"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/api/sagas"])
async def test_whatever_can_be_got_can_be_asked_for_its_head(made: Running, path: str) -> None:
    async with made.http.head(f"{made.runtime['url']}{path}") as response:
        assert response.status == 200
        assert await response.read() == b""

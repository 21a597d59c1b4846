"""What stands before every route: its own limit of a body, and the parameters that it says it takes."""

import io
import json
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from amends import App, Backend, Route, read_json
from amends.api import server
from amends.api.app import make_app
from amends.api.guard import answer
from amends.api.server import listening
from tests.unit.test_client import saga

KEY = "a-key-of-the-tests"

pytestmark = pytest.mark.filterwarnings(  # the API names what it keeps with a request by plain text
    "ignore::aiohttp.web_exceptions.NotAppKeyWarning"
)


async def echo(request: web.Request, backend: Backend) -> web.Response:
    """`POST /echo`: what was sent."""
    return answer({"sent": len(str(await read_json(request)))})


async def raw(request: web.Request, backend: Backend) -> web.Response:
    """`POST /raw`: how much was sent."""
    return answer({"sent": len(await request.read())})


async def ping() -> float:
    return 0.001


async def asked(method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """What an API with these routes and no database answers."""
    routes = [
        Route("POST", "/small", echo, body_bytes_max=100, query={"a": {}, "b": {}}),
        Route("POST", "/large", echo, body_bytes_max=3_000_000),
        Route("POST", "/raw", raw, body_bytes_max=100),
    ]
    backend: Any = type("Backend", (), {"database": None})()
    app = make_app(backend, [App("a", sagas=[saga], routes=routes)], KEY, ping)
    async with (
        listening(app, "127.0.0.1", 0) as url,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.request(method, f"{url}{path}", **options) as response,
    ):
        return response.status, await response.json(content_type=None)


async def in_pieces(size: int) -> AsyncGenerator[bytes]:
    for _ in range(size // 50):
        yield b"x" * 50


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/small", 50, 200), ("/small", 200, 413), ("/large", 2_000_000, 200), ("/large", 3_100_000, 413),
     ("/raw", 50, 200), ("/raw", 200, 413)],
)  # fmt: skip
async def test_each_route_has_its_own_limit(path: str, size: int, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "Connection", partial(server.Connection, lingering_time=0.1))  # for what is not read
    body = io.BytesIO(json.dumps({"a": "x" * size}).encode())
    assert (await asked("POST", path, data=body, headers={"Content-Type": "application/json"}))[0] == status


async def test_a_body_without_a_length_has_the_same_limit() -> None:
    status, problem = await asked("POST", "/raw", data=in_pieces(500))
    assert (status, problem["errors"][0]["field"]) == (413, "body")


@pytest.mark.parametrize(
    ("query", "field", "remedy"),
    [
        ("c=1", "c", "use a, b"),
        ("a=1&a=2", "a", "give it once"),
        ("%00=1", "\x00", "use a, b"),
        ("x" * 100, "x" * 60, "use a, b"),
    ],
)
async def test_a_parameter_that_the_route_does_not_take_is_refused_by_name(query: str, field: str, remedy: str) -> None:
    status, problem = await asked("POST", f"/small?{query}", json={})
    assert (status, problem["errors"][0]["field"], problem["errors"][0]["remedy"]) == (422, field, remedy)


async def test_known_parameters_and_those_of_open_routes_are_taken() -> None:
    assert (await asked("POST", "/small?a=1&b=2", json={}))[0] == 200
    assert (await asked("GET", "/livez?x=1"))[0] == 200
    assert (await asked("GET", "/api/sagas?stauts=failed"))[1]["errors"][0]["field"] == "stauts"

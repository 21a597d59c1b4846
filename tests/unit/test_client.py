"""The client against a server that is away, answers late, or is no Amends."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from pydantic import BaseModel

from amends import Client, ClientError, MovedError, NotCompletedError, Saga
from amends import client as module

KEY = "a-key-of-the-tests"
STARTED = {"sagaId": "s", "created": True}


class Number(BaseModel):
    n: int


saga = Saga("counting", input=Number)


@saga.step("first")
async def first(request: Number) -> None: ...


@asynccontextmanager
async def client(
    *replies: Any, seen: list[str | None] | None = None
) -> AsyncGenerator[tuple[Client, list[tuple[str, str | None]]]]:
    """A client whose server gives these replies in turn (None: it breaks the connection), and what it was sent."""
    left, sent = list(replies), list[tuple[str, str | None]]()
    seen = [] if seen is None else seen

    async def reply(request: web.Request) -> web.StreamResponse:
        sent.append((request.method, request.headers.get("Idempotency-Key")))
        seen.append(request.headers.get("If-Match"))
        found = left.pop(0) if len(left) > 1 else left[0]
        if found is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status, body, *headers = found
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return web.Response(status=status, headers=headers[0] if headers else None, body=raw)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", reply)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Client(f"http://127.0.0.1:{runner.addresses[0][1]}", key=KEY) as made:
            yield made, sent
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)


AWAY = (503, {"title": "Unavailable", "detail": "nobody knows"}, {"Retry-After": "2"})
BUSY = (409, {"title": "Request still runs", "detail": "wait"}, {"Retry-After": "5"})


@pytest.mark.parametrize("trouble", [AWAY, BUSY, None], ids=["away", "busy", "cut off"])
async def test_a_start_is_sent_again_under_one_key_of_its_own(trouble: Any) -> None:
    async with client(trouble, trouble, (201, STARTED)) as (asker, sent):
        handle = await asker.start(saga, Number(n=1))
        assert (handle.id, handle.created) == ("s", True)
        assert len(sent) == 3
        assert len({key for _, key in sent}) == 1
        assert sent[0][1]
        await asker.start(saga, Number(n=1))
        assert sent[3][1] != sent[0][1]


async def test_a_cancel_is_done_once_too_and_reading_needs_no_key() -> None:
    async with client(AWAY, (200, {"status": "compensating"})) as (asker, sent):
        await asker.cancel("s", reason="why")
        assert await asker.handle(saga, "s").status() == "compensating"
    assert [method for method, _ in sent] == ["POST", "POST", "GET"]
    assert sent[0] == sent[1]
    assert sent[2][1] is None


async def test_who_waits_for_a_result_looks_again_soon_and_then_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def slept(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=slept, timeout=asyncio.timeout))
    active = [(200, {"status": "active"})] * 10
    async with client(*active, (200, {"status": "compensated", "error": None})) as (asker, _):
        with pytest.raises(NotCompletedError):
            await asker.handle(saga, "s").result()
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.0, 2.0]


async def test_what_is_asked_of_a_version_is_refused_when_the_saga_has_moved() -> None:
    told: dict[str, Any] = {"reason": "why", "expect_version": 3}
    moved = (412, {"title": "Moved", "detail": "If-Match: the saga is at version 4 and no longer at 3"})
    seen: list[str | None] = []
    async with client(moved, seen=seen) as (asker, sent):
        for asked in (
            asker.cancel("s", **told), asker.hold("s", **told), asker.release("s", **told),
            asker.retry("s", "first", undo=True, **told), asker.correct("s", 1, **told),
            asker.resolve("s", "accept", **told),
        ):  # fmt: skip
            with pytest.raises(MovedError, match="at version 4 and no longer at 3"):
                await asked
    assert seen == ['"3"'] * 6
    assert len({key for _, key in sent}) == 6, "nothing is tried again"


async def test_a_server_that_stays_away_is_the_callers_to_know() -> None:
    async with client(AWAY) as (asker, sent):
        with pytest.raises(ClientError, match="503 Unavailable: nobody knows"):
            await asker.start(saga, Number(n=1))
    assert len(sent) == module.TRIES


@pytest.mark.parametrize("reply", [(502, "<html>Bad</html>"), (200, "hello"), (404, []), (302, "")], ids=str)
async def test_an_answer_that_is_none_of_the_apis_is_a_client_error(reply: Any) -> None:
    async with client(reply) as (asker, sent):
        with pytest.raises(ClientError, match="No answer of Amends") as told:
            await asker.start(saga, Number(n=1))
    assert (told.value.status, len(sent)) == (reply[0], 1)


async def test_what_was_refused_of_many_is_told_with_its_details() -> None:
    refused = {"sagaId": "s", "detail": "the saga is completed"}
    pages: list[Any] = [
        (200, {"matched": 2, "changed": 1, "refused": [refused], "next": "c"}),
        (200, {"matched": 1, "changed": 1, "refused": [], "next": None}),
    ]
    async with client(*pages) as (asker, _):
        done = await asker.hold_all(reason="why", definition="d")
        assert (done.count, done.refused) == (2, {"s": "the saga is completed"})

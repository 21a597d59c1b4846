"""The OpenAI-compatible agent against a local server that answers well, badly, slowly and not at all (req. J7)."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from amends import Permanent, Recoverable
from marketplace.agents import remote
from marketplace.agents.answers import UnreadableError, read_answer
from marketplace.agents.remote import RemoteAgent

GOOD = (
    '{"opportunities": [{"title": "Fotos", "what": "seis", "reason": "“2 fotos”", "priority": "alta"}], "phases": []}'
)
Reply = str | web.Response | Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def agent(*replies: Reply) -> AsyncGenerator[tuple[RemoteAgent, list[dict[str, Any]]]]:
    """An agent whose endpoint gives these replies in turn, and what it was asked."""
    asked: list[dict[str, Any]] = []
    left = list(replies)

    async def complete(request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer secret"
        asked.append(await request.json())
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, str):
            return web.json_response({"choices": [{"message": {"role": "assistant", "content": reply}}]})
        return reply if isinstance(reply, web.Response) else await reply(request)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession() as session:
            yield RemoteAgent(session, f"http://127.0.0.1:{port}/v1/", "secret", "small", {"amazon": "big"}), asked
    finally:
        await runner.cleanup()


async def test_a_good_answer_is_asked_for_once_with_its_schema_and_the_channels_model() -> None:
    async with agent(GOOD) as (asker, asked):
        answer = read_answer(await asker.ask("Amazon", "2 fotos"), "Amazon")
        await asker.ask("Shopee", "2 fotos")
    assert [found.title for found in answer.opportunities] == ["Fotos"]
    assert [question["model"] for question in asked] == ["big", "small"]
    assert asked[0]["response_format"]["type"] == "json_schema"
    assert "2 fotos" in asked[0]["messages"][1]["content"]


async def test_an_unreadable_answer_gets_one_repair_turn() -> None:
    async with agent("Here are my thoughts.", GOOD) as (asker, asked):
        assert read_answer(await asker.ask("Amazon", "x"), "Amazon").opportunities
    assert len(asked) == 2
    assert "the answer holds no JSON object" in asked[1]["messages"][-1]["content"]
    async with agent("No.", "Still no.") as (asker, asked):
        with pytest.raises(UnreadableError):
            read_answer(await asker.ask("Amazon", "x"), "Amazon")
    assert len(asked) == 2


async def test_an_answer_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    cut_off = GOOD.partition("]")[0] + ', {"title": "cut'
    async with agent(cut_off) as (asker, _):
        assert read_answer(await asker.ask("Amazon", "x"), "Amazon").opportunities


async def test_a_server_that_does_not_know_structured_answers_is_asked_without() -> None:
    refusal = web.json_response({"error": "response_format is not supported"}, status=400)
    async with agent(refusal, GOOD) as (asker, asked):
        await asker.ask("Amazon", "x")
    assert "response_format" not in asked[1]


@pytest.mark.parametrize(("status", "after"), [(429, 7.0), (503, 7.0), (500, None), (408, None)])
async def test_a_busy_endpoint_is_tried_again_when_it_says(status: int, after: float | None) -> None:
    headers = {} if after is None else {"Retry-After": "7"}
    async with agent(web.Response(status=status, headers=headers)) as (asker, _):
        with pytest.raises(Recoverable) as told:
            await asker.ask("Amazon", "x")
    assert (told.value.retry_after_seconds, told.value.happened) == (after, False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("²", None),
        ("1.5", 1.5),
        ("1.2.3", None),
        ("9" * 400, 3600.0),
        ("99999999", 3600.0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:01 GMT", None),
    ],
)
def test_retry_after_is_read_in_either_form_and_bounded(text: str, seconds: float | None) -> None:
    assert remote.retry_after(text, 10.0) == seconds


async def test_a_long_document_is_asked_about_in_parts_of_which_none_is_left_out() -> None:
    lines = [f"{number} Amazon sem estoque" for number in range(6000)]

    async def each(request: web.Request) -> web.StreamResponse:
        part = (await request.json())["messages"][1]["content"].partition("Document:\n")[2]
        found = json.dumps({"opportunities": [{"title": part.splitlines()[0]}], "phases": []})
        return web.json_response({"choices": [{"message": {"content": found}}]})

    async with agent(each) as (asker, asked):
        answer = read_answer(await asker.ask("Amazon", "\n".join(lines)), "Amazon")
    parts = [question["messages"][1]["content"].partition("Document:\n")[2] for question in asked]
    assert len(parts) == len(answer.opportunities) == 3
    assert sorted("".join(sorted(parts, key=lambda part: int(part.split()[0]))).splitlines()) == sorted(lines)
    assert all(len(part) <= remote.PART_CHARACTERS_MAX for part in parts)
    assert "".join(remote.parts_of("x" * 130_000)) == "x" * 130_000


async def test_one_part_that_is_refused_ends_all_and_one_that_is_unreadable_too() -> None:
    async with agent(web.Response(status=401)) as (asker, _):
        with pytest.raises(Permanent, match="OPENAI_API_KEY"):
            await asker.ask("Amazon", "x\n" * 70_000)
    async with agent("No.") as (asker, asked):
        with pytest.raises(UnreadableError):
            await asker.ask("Amazon", "x" * 70_000)
    assert len(asked) <= 4


@pytest.mark.parametrize(("status", "remedy"), [(401, "OPENAI_API_KEY"), (404, "OPENAI_BASE_URL"), (400, "model")])
async def test_an_endpoint_that_refuses_us_says_what_to_check(status: int, remedy: str) -> None:
    async with agent(web.Response(status=status, text="no")) as (asker, _):
        with pytest.raises(Permanent, match=remedy):
            await asker.ask("Amazon", "x")


@pytest.mark.parametrize("body", ["", "<html>", '{"choices": []}', '{"choices": [{"message": {"content": null}}]}'])
async def test_an_answer_without_a_completion_is_tried_again(body: str) -> None:
    async with agent(web.Response(text=body, content_type="application/json")) as (asker, _):
        with pytest.raises(Recoverable, match="no completion"):
            await asker.ask("Amazon", "x")


async def test_an_answer_in_pieces_is_read_whole_and_a_huge_one_is_refused() -> None:
    said = GOOD + " " * 600_000  # more than is buffered at once
    whole = json.dumps({"choices": [{"message": {"content": said}}]}).encode()

    async def in_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for start in range(0, len(whole), 5000):
            await response.write(whole[start : start + 5000])
        return response

    async with agent(in_pieces) as (asker, _):
        assert await asker.ask("Amazon", "x") == said
    async with agent(web.Response(body=b"x" * (remote.ANSWER_BYTES_MAX + 1))) as (asker, _):
        with pytest.raises(Permanent, match="more than 1,048,576 bytes"):
            await asker.ask("Amazon", "x")


async def test_a_slow_a_silent_and_an_absent_endpoint_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SECONDS_MAX", 0.2)
    ended = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await ended.wait()
        return web.Response()

    async def silent(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def unreadable_then_slow(request: web.Request) -> web.StreamResponse:
        if "not readable" in (await request.json())["messages"][-1]["content"]:
            await ended.wait()
        return web.json_response({"choices": [{"message": {"content": "No."}}]})

    async with agent(slow) as (asker, _):
        with pytest.raises(Recoverable, match="no answer within"):
            await asker.ask("Amazon", "x")
        ended.set()
    ended.clear()
    async with agent(unreadable_then_slow) as (asker, _):
        began = asyncio.get_running_loop().time()
        with pytest.raises(Recoverable, match="no answer within"):
            await asker.ask("Amazon", "x")
        assert asyncio.get_running_loop().time() - began < 0.35, "all that is asked shares one deadline"
        ended.set()
    async with agent(silent) as (asker, _):
        with pytest.raises(Recoverable, match="cannot be reached"):
            await asker.ask("Amazon", "x")
    async with aiohttp.ClientSession() as session:
        nobody = RemoteAgent(session, "http://127.0.0.1:1/v1", "secret", "small", {})
        with pytest.raises(Recoverable, match="cannot be reached"):
            await nobody.ask("Amazon", "x")

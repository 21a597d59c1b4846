"""Agents behind an endpoint: `amends up` asks a local one that is busy once, and of no use for one channel (J7)."""

import io
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from tests.acceptance.running import running, until

UPLOAD = "/api/marketplace/analysis/upload"
CHANNELS = ("Amazon", "Shopee", "eBay")
KEY = "the-key-of-the-endpoint"
TEXT = "SKU 17: duas fotos"


@dataclass
class Endpoint:
    """A chat completions endpoint: it is busy at its first question about Amazon, and talks rubbish about Shopee."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer as a model would, about the channel that is asked for."""
        question = await request.json()
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        about = question["messages"][1]["content"]
        assert TEXT in about
        channel = about.partition("\n")[0].removeprefix("Channel: ")
        self.asked.append((channel, question["model"]))
        if self.asked.count((channel, question["model"])) == 1 and channel == "Amazon":
            return web.Response(status=429, headers={"Retry-After": "1"})
        found = {"title": f"Fotos {channel}", "what": "seis fotos", "reason": "“duas fotos”", "priority": "alta"}
        said = "I would rather not." if channel == "Shopee" else json.dumps({"opportunities": [found], "phases": []})
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": said}}]})


@asynccontextmanager
async def endpoint() -> AsyncGenerator[Endpoint]:
    made = Endpoint()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", made.complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield made
    finally:
        await runner.cleanup()


async def test_a_plan_holds_what_the_endpoint_said_and_marks_the_channel_it_said_nothing_of() -> None:
    async with endpoint() as there:
        told = {"OPENAI_BASE_URL": there.url, "OPENAI_API_KEY": KEY, "OPENAI_MODELS": "amazon=big"}
        async with running(environment=told) as made:
            data = aiohttp.FormData()
            data.add_field("file", io.BytesIO(TEXT.encode()), filename="a.txt")
            for channel in CHANNELS:
                data.add_field("channels", channel)
            status, found = await made.call("POST", UPLOAD, data=data)
            assert status == 202, found

            async def analysed() -> dict[str, Any] | None:
                plan = await made.plan(found["planId"])
                return plan if plan["status"] != "analysing" else None

            plan = await until(analysed, 40)
            assert plan["status"] == "pending", plan
            said = {(entry["channel"], entry["title"]) for entry in plan["plan"]["opportunities"]}
            assert said == {("Amazon", "Fotos Amazon"), ("eBay", "Fotos eBay")}
            assert plan["plan"]["empty_channels"] == ["Shopee"]
            saga = await made.ended(found["sagaId"])
            assert saga["status"] == "completed"
            made.check_invariants()
            logs = "".join(path.read_text("utf-8") for path in (made.folder / "logs").iterdir())
            assert KEY not in logs
        assert Counter(there.asked) == {("Amazon", "big"): 2, ("Shopee", "gpt-4o-mini"): 2, ("eBay", "gpt-4o-mini"): 1}

"""A thousand bad requests against all routes: none breaks anything, none hangs, and none leaves half of a thing."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from tests.acceptance.damage import folder_of
from tests.acceptance.moving import MODULE
from tests.acceptance.running import Running, until
from tests.survival.bad_requests import BadRequest, bad_requests

SEED = 20260214
COUNT = 1000
AT_ONCE = 8
ANSWER_SECONDS = 30

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made() -> AsyncGenerator[Running]:
    with folder_of("amends-fuzz-") as folder:
        (folder / "moving.py").write_text(MODULE)
        async with Running(folder, sagas="marketplace,moving") as started:
            yield started


async def routes(made: Running) -> list[tuple[str, str]]:
    """All routes as the API describes itself, those that take bodies more often than the others."""
    _, document = await made.call("GET", "/openapi.json")
    found = [(method.upper(), path) for path, operations in document["paths"].items() for method in operations]
    changing = [route for route in found if route[0] != "GET"]
    assert len(changing) >= 5
    return found + changing * 4


async def wrong_with(made: Running, asked: BadRequest, statuses: Counter[int]) -> str | None:
    """What is wrong with the answer, whose status is counted."""
    url = URL(f"{made.runtime['url']}{asked.path}", encoded=True)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async with made.http.request(asked.method, url, data=asked.body, headers=asked.headers) as response:
                raw = await response.read()
    except (TimeoutError, aiohttp.ClientError) as silent:
        return f"{asked}: no answer: {silent!r}"
    statuses[response.status] += 1
    if response.status >= 500:
        return f"{asked}: {response.status} {raw[:300]!r}"
    if response.status >= 400:
        problem = json.loads(raw)
        if not (problem["status"] == response.status and problem["errors"] and problem["errors"][0]["remedy"]):
            return f"{asked}: a poor problem document: {problem}"
    return None


async def waiting_move(made: Running) -> str:
    """A saga that waits for a signal."""
    body = {"definition": "move", "input": {"name": "fuzz"}}
    _, begun = await made.call("POST", "/api/sagas", json=body)
    return str(begun["sagaId"])


async def let_go(made: Running) -> None:
    """What the requests held goes on, and what waits for somebody turns back."""
    for row in await made.database.fetch("SELECT saga_id::text, held FROM amends.sagas WHERE held"):
        path = f"/api/sagas/{row['saga_id']}/release"
        assert (await made.call("POST", path, json={"reason": "the end"}))[0] == 200
    for row in await made.database.fetch("SELECT saga_id::text FROM amends.sagas WHERE definition = 'move'"):
        await made.call("POST", f"/api/sagas/{row['saga_id']}/cancel", json={"reason": "the end"})


async def test_a_thousand_bad_requests_break_nothing(made: Running) -> None:
    known = [await made.pending_plan(), (await made.approve(await made.pending_plan())), await waiting_move(made)]
    gate, statuses = asyncio.Semaphore(AT_ONCE), Counter[int]()

    async def one(asked: BadRequest) -> str | None:
        async with gate:
            return await wrong_with(made, asked, statuses)

    asked = bad_requests(SEED, COUNT, await routes(made), known)
    told = [found for found in await asyncio.gather(*map(one, asked)) if found is not None]
    assert not told, f"{len(told)} of {COUNT}:\n" + "\n".join(line[:1500] for line in told[:10])
    assert {200, 202, 400, 404, 415, 422} <= statuses.keys(), "requests that are all refused alike test nothing"
    assert sum(statuses.values()) == COUNT


async def test_nothing_is_half_made(made: Running) -> None:
    for half in (
        "SELECT id FROM marketplace_plans AS plan WHERE analysis_id IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM amends.sagas WHERE saga_id = plan.analysis_id)",
        "SELECT id FROM marketplace_documents AS document "
        "WHERE NOT EXISTS (SELECT FROM marketplace_plans WHERE document_id = document.id)",
        "SELECT id FROM marketplace_plans WHERE status = 'analysing' AND analysis_id IS NULL",
        "SELECT key FROM amends.request_keys WHERE answered_at IS NULL AND runs_until > '-infinity'",
    ):
        assert await made.database.fetch(half) == []

    await let_go(made)

    async def all_ended() -> bool:
        return not await made.database.fetchval(
            "SELECT count(*) FROM amends.sagas WHERE status IN ('active', 'compensating')"
        )

    await until(all_ended, 90)

    async def clean() -> bool:
        """The projections are as far as the events are."""
        return (await asyncio.to_thread(made.amends, "doctor", "--invariants")).returncode == 0

    await until(clean, 30)
    made.check_invariants()


async def test_none_of_it_is_a_traceback_in_the_log(made: Running) -> None:
    assert "Traceback" not in (made.folder / "logs" / "api.log").read_text("utf-8")

"""Many sagas in one HTTP request, on a real database."""

import re
from pathlib import Path
from typing import Any

import pytest

from amends import Client, StartRefused, ToStart
from tests.integration.test_shared_commits import api
from tests.unit.test_client import Number, saga
from tests.unit.test_routes import KEY

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "starting.md"

pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")


async def test_many_sagas_are_started_in_one_commit_and_once(database_url: str) -> None:
    async with api(database_url) as (store, _, url), Client(url, key=KEY) as client:
        items = [ToStart(saga, Number(n=n), f"k{n}" if n % 2 else None) for n in range(50)]
        first = await client.start_many(items, request_id="import")
        assert [isinstance(one, StartRefused) or one.created for one in first] == [True] * 50
        commits = await store.pool.fetchval("SELECT count(DISTINCT transaction_id) FROM amends.workflow_events")
        assert commits == 1
        await store.pool.execute("UPDATE amends.request_keys SET answered_at = NULL, runs_until = now()")  # a crash
        again = await client.start_many(items, request_id="import")
        assert [getattr(one, "id", None) for one in again] == [getattr(one, "id", None) for one in first]
        assert await store.pool.fetchval("SELECT count(*) FROM amends.sagas") == 50
        wrong: Any = {"n": "x"}
        mixed = [ToStart(saga, Number(n=1), "k1"), ToStart(saga, Number(n=2), "k1"), ToStart(saga, wrong, "k2")]
        known, taken, unfit = await client.start_many(mixed)
        assert not isinstance(known, StartRefused)
        assert not known.created
        assert isinstance(taken, StartRefused)
        assert (taken.index, taken.reason, taken.saga_id, taken.errors[0][0]) == (1, "conflict", known.id, "key")
        assert str(unfit).startswith("item 2: input.n: Input should be a valid integer")


async def test_each_of_a_batch_is_answered_with_its_fields(database_url: str) -> None:
    sagas: list[dict[str, Any]] = [
        {"definition": "counting", "input": {"n": 1}, "key": "k"},
        {"definition": "counting", "input": {"n": 1}, "key": "k"},
        {"definition": "counting", "input": {"n": 2}, "key": "k"},
        {"definition": "counting", "input": {}},
        {"definition": "nobody", "input": {}},
    ]
    async with (
        api(database_url) as (_, session, _),
        session.post("/api/sagas/batch", json={"sagas": sagas}) as response,
    ):
        items = (await response.json())["items"]
        assert response.status == 200
    assert [one["outcome"] for one in items] == ["created", "known", "conflict", "invalid", "invalid"]
    assert items[0].keys() == {"outcome", "definition", "sagaId", "status", "created"}
    assert items[2]["sagaId"] == items[0]["sagaId"]
    fields = ["sagas.2.key", "sagas.3.input.n", "sagas.4.definition"]
    assert [one["errors"][0]["field"] for one in items[2:]] == fields


async def test_the_guides_import_names_what_was_not_started(database_url: str) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    guide: dict[str, Any] = {"__name__": "guide"}
    exec(compile(block, GUIDE.name, "exec"), guide)
    orders = [{"number": 1, "item": "book", "cents": 1200}, {"number": 2, "item": "pen"}]
    async with (
        api(database_url, guide["order"]) as (store, _, url),
        Client(url, key=KEY) as client,
    ):
        assert await guide["import_orders"](client, orders) == ["item 1: input.cents: Field required"]
        assert await store.pool.fetchval("SELECT key FROM amends.sagas") == "1"

"""Many sagas that are started together: each has its own answer, which names the item and the field."""

import asyncio
import json
from collections.abc import Sequence
from math import ceil
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel

from amends import Backend, Saga, StartRefused, ToStart
from amends.api.app import make_app
from amends.api.server import listening
from amends.backend import Handle
from amends.client import many
from amends.clock import LoopClock
from amends.starting import STARTS_MAX
from amends.testing.virtual import run_virtual
from consumers.inprocess import Broker, InProcessTransport
from eventstore.gathering import BATCH
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from sagas.ports import Committed, Move
from tests.unit.test_client import Number, client, saga
from tests.unit.test_routes import KEY, ping

pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

Told = list[Handle[Any] | StartRefused]


class Text(BaseModel):
    t: str


other = Saga("writing", input=Text)


@other.step("only")
async def only(request: Text) -> None: ...


class Counting(MemoryStore):
    """Counts its commits."""

    commits = 0

    async def start(self, moves: Sequence[Move], connection: object | None = None) -> Committed:
        """Start."""
        self.commits += 1
        return await super().start(moves, connection)


def backend() -> tuple[Backend, Counting]:
    store = Counting(asyncio.get_running_loop().time)
    nothing: Any = None
    sealed = {one.name: one.seal() for one in (saga, other)}
    made = Backend(store, nothing, Engine(store, LoopClock()), InProcessTransport(Broker(), "api"), sealed)
    return made, store


def outcomes(told: Told) -> list[str]:
    return [
        str(one) if isinstance(one, StartRefused) else "created" if one.created else "known" for one in told
    ]  # fmt: skip


def test_sagas_of_several_definitions_are_started_in_a_few_commits() -> None:
    async def drive() -> None:
        made, store = backend()
        told = await made.start_many(
            [ToStart(saga, Number(n=n), f"k{n}") for n in range(STARTS_MAX - 1)] + [ToStart("writing", {"t": "x"})]
        )
        assert outcomes(told) == ["created"] * STARTS_MAX
        assert store.commits == ceil(STARTS_MAX / BATCH)
        assert {head.definition for head in map(store.head, store.known())} == {"counting", "writing"}
        await made.close()

    run_virtual(drive)


def test_each_item_that_is_not_started_is_named_with_its_field_and_holds_up_no_other() -> None:
    async def drive() -> None:
        made, _ = backend()
        first = await made.start(saga, Number(n=1), key="old")
        wrong: Any = {"n": "x"}
        told = await made.start_many([
            ToStart(saga, Number(n=1), "old"), ToStart(saga, Number(n=2), "old"), ToStart(saga, wrong),
            ToStart("nobody", wrong), ToStart(saga, Number(n=3), "k" * 256), ToStart(saga, Number(n=3), "a\x00"),
            ToStart(saga, Number(n=4), "new"), ToStart(saga, Number(n=4), "new"), ToStart(saga, Number(n=5), "new"),
        ])  # fmt: skip
        assert outcomes(told) == [
            "known",
            f"item 1: key: the key 'old' is taken by saga {first.id}, which has another input",
            "item 2: input.n: Input should be a valid integer, unable to parse string as an integer",
            "item 3: definition: no saga is called 'nobody'; there are: counting, writing",
            "item 4: key: is no text of 1 to 255 characters",
            "item 5: key: holds a NUL or half a surrogate pair",
            "created",
            "known",
            f"item 8: key: the key 'new' is taken by saga {ids(told)[6]}, which has another input",
        ]
        assert ids(told)[0] == ids(told)[1] == first.id
        assert [one.reason for one in told if isinstance(one, StartRefused)] == [
            "conflict", "invalid", "invalid", "invalid", "invalid", "conflict"
        ]  # fmt: skip
        assert await made.start_many([]) == []
        await made.close()

    run_virtual(drive)


def ids(told: Told) -> list[str | None]:
    return [one.saga_id if isinstance(one, StartRefused) else one.id for one in told]


def test_a_list_under_one_request_id_is_started_once_and_told_the_same_each_time() -> None:
    async def drive() -> None:
        made, store = backend()
        items = [ToStart(saga, Number(n=1)), ToStart(saga, Number(n=1)), ToStart(other, Text(t="x"), "k")]
        first = await made.start_many(items, request_id="import-7")
        assert outcomes(first) == ["created"] * 3
        assert await made.start_many(items, request_id="import-7") == first
        assert len(store.known()) == 3
        (changed, *_) = await made.start_many([ToStart(saga, Number(n=2))], request_id="import-7")
        assert isinstance(changed, StartRefused)
        assert (changed.reason, changed.errors[0][0], changed.saga_id) == ("conflict", "request_id", ids(first)[0])
        await made.close()

    run_virtual(drive)


def test_a_list_is_sent_in_pages_that_the_api_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [ToStart(saga, Number(n=n)) for n in range(STARTS_MAX + 1)]
    found, pages = many.prepared(items)
    assert found == {}
    assert [len(page) for page in pages] == [STARTS_MAX, 1]
    monkeypatch.setattr(many, "BYTES_MAX", 100)
    found, pages = many.prepared([ToStart(other, Text(t="x" * n)) for n in (10, 1, 60, 50, 0, 1)])
    assert str(found[2]) == "item 2: input: has 101 bytes; 100 are taken"
    assert [[one.index for one in page] for page in pages] == [[0, 1], [3], [4, 5]]
    sent = [json.loads(many.body_of(page))["sagas"] for page in pages]
    assert sent[0][1] == {"definition": "writing", "input": {"t": "x"}}
    with pytest.raises(TypeError, match="item 0 has only the name of its saga"):
        many.prepared([ToStart("counting", {"n": 1})])


async def test_pages_of_one_request_id_are_sent_under_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "STARTS_MAX", 2)
    made = {"outcome": "created", "definition": "counting", "sagaId": "s", "status": "active", "created": True}
    wrong = {"outcome": "invalid", "definition": "counting", "errors": [{"field": "sagas.0.input.n", "message": "no"}]}
    async with client((200, {"items": [made, made]}), (200, {"items": [wrong]})) as (asker, sent):
        items = [ToStart(saga, Number(n=1)), ToStart(saga, Number(n=2)), ToStart(saga, Number(n=3))]
        told = await asker.start_many(items, request_id="import-7")
        assert [key for _, key in sent] == ["import-7/0", "import-7/1"]
        assert str(told[2]) == "item 2: input.n: no"
        assert [getattr(one, "id", None) for one in told] == ["s", "s", None]
        assert await asker.start_many([]) == []


GOOD: dict[str, Any] = {"definition": "counting", "input": {"n": 1}}
MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({}, "sagas"),
    ({"sagas": "many"}, "sagas"),
    ({"sagas": []}, "sagas"),
    ({"sagas": [GOOD] * 501}, "sagas"),
    ({"sagas": [GOOD, 7]}, "sagas.1"),
    ({"sagas": [GOOD, {"definition": "counting"}]}, "sagas.1.input"),
    ({"sagas": [{**GOOD, "kye": "k"}]}, "sagas.0.kye"),
    ({"sagas": [{**GOOD, "key": 7}]}, "sagas.0.key"),
    ({"sagas": [{**GOOD, "definition": 7}]}, "sagas.0.definition"),
    ({"saga": []}, "saga"),
]


@pytest.mark.parametrize(("body", "field"), MALFORMED)
async def test_what_is_no_list_of_sagas_is_refused_whole(body: Any, field: str) -> None:
    nobody: Any = SimpleNamespace(database=None)
    async with (
        listening(make_app(nobody, [], KEY, ping), "127.0.0.1", 0) as url,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.post(f"{url}/api/sagas/batch", json=body) as response,
    ):
        problem = await response.json(content_type=None)
        assert (response.status, problem["errors"][0]["field"]) == (422, field)
        assert problem["errors"][0]["remedy"]

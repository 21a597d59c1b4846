"""API keys with roles, and keyed requests that are answered once."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import pytest

from eventstore.keys import Keys, allows
from eventstore.postgres import PostgresStore
from eventstore.requests import KeptAnswer, KeyBusy, KeyReused, Requests

ANSWER = KeptAnswer(201, {"Location": "/x"}, b'{"a": 1}')


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[PostgresStore]:
    opened = await PostgresStore.open(database_url)
    yield opened
    await opened.close()


async def test_a_key_opens_what_its_role_allows_until_it_is_revoked(store: PostgresStore) -> None:
    keys = Keys(store.pool)
    shown = await keys.create("ci", "producer")
    found = await keys.find(shown)
    assert found is not None
    assert (found.name, found.role) == ("ci", "producer")
    assert [allows(found.role, needed) for needed in ("viewer", "producer", "operator")] == [True, True, False]
    for wrong in (shown[:-1], shown + "x", "amends_x_y", "", "other", f"amends_{found.prefix}_"):
        assert await keys.find(wrong) is None
    assert await keys.revoke(found.prefix)
    assert not await keys.revoke(found.prefix)
    assert await keys.find(shown) is None
    (row,) = await keys.list()
    assert row.revoked_at is not None
    secret = shown.split("_", 2)[2]  # a secret may have a "_" of its own
    assert secret not in str(await store.pool.fetch("SELECT * FROM amends.api_keys"))


async def test_the_same_key_and_body_give_the_same_answer(store: PostgresStore) -> None:
    requests = Requests(store.pool)
    assert isinstance(await requests.begin("c", "k", "hash"), UUID)
    await requests.keep("c", "k", ANSWER)
    assert await requests.begin("c", "k", "hash") == ANSWER
    with pytest.raises(KeyReused):
        await requests.begin("c", "k", "another")
    assert isinstance(await requests.begin("another caller", "k", "another"), UUID)


async def test_a_twin_waits_for_the_first(store: PostgresStore) -> None:
    requests = Requests(store.pool)
    await requests.begin("c", "k", "hash")
    twin = asyncio.create_task(requests.begin("c", "k", "hash"))
    await asyncio.wait([twin], timeout=0.2)
    assert not twin.done()
    await requests.keep("c", "k", ANSWER)
    assert await twin == ANSWER
    await requests.begin("c", "slow", "hash")
    with pytest.raises(KeyBusy):
        await requests.begin("c", "slow", "hash", wait_seconds=0.1)


async def test_a_request_that_failed_or_died_is_done_again_with_the_same_ids(store: PostgresStore) -> None:
    requests = Requests(store.pool)
    first = await requests.begin("c", "k", "hash")
    await requests.free("c", "k")
    assert await requests.begin("c", "k", "hash") == first
    await store.pool.execute("UPDATE amends.request_keys SET runs_until = now() - interval '1 s'")
    assert await requests.begin("c", "k", "hash") == first


async def test_old_keys_are_forgotten(store: PostgresStore) -> None:
    requests = Requests(store.pool)
    await requests.begin("c", "k", "hash")
    await store.pool.execute("UPDATE amends.request_keys SET created_at = now() - interval '25 h'")
    await requests.forget()
    assert await store.pool.fetchval("SELECT count(*) FROM amends.request_keys") == 0

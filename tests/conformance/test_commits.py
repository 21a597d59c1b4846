"""One contract, two stores: commits whose answer is lost (rule_A7), starts inside a caller's transaction (rule_A4)."""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.identifiers import new_id
from eventstore.memory import MemoryStore
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.inputs import Start
from sagas.ports import CommitUnknown, Store
from tests.conformance.test_store import MANIFEST, move, saga_id, started, succeeded

Joining = Callable[[], AbstractAsyncContextManager[object]]


class LosingPostgres(PostgresStore):
    """Loses the answers of commits when it is told to."""

    def lose_next_commit(self, *, happened: bool) -> None:
        """Let the answer of the next append or start be lost; `happened` is what is true of it."""
        self._lose = happened

    _lose: bool | None = None

    async def _commit(self, statement: str, arguments: Any) -> Any:
        lose, self._lose = self._lose, None
        committed = None if lose is False else await super()._commit(statement, arguments)
        if committed is None or lose:
            raise CommitUnknown("the connection broke")
        return committed


@pytest.fixture
async def memory() -> MemoryStore:
    made = MemoryStore(time.time)
    await made.put_manifest(MANIFEST)
    return made


@pytest.fixture
async def postgres(database_url: str) -> AsyncGenerator[LosingPostgres]:
    opened = await LosingPostgres.open(database_url)
    await opened.put_manifest(MANIFEST)
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> "MemoryStore | LosingPostgres":
    """Each test runs once for each store."""
    found: MemoryStore | LosingPostgres = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def joining(store: Store) -> Joining:
    """A caller's transaction, which is committed at the end; the memory store has none, and takes any object for it."""

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[object]:
        if not isinstance(store, PostgresStore):
            yield object()
            return
        async with store.pool.acquire() as connection, connection.transaction():
            yield connection

    return transaction


@pytest.mark.parametrize("happened", [True, False])
async def test_a_commit_whose_answer_is_lost_is_unknown_whatever_is_true_of_it(
    store: "MemoryStore | LosingPostgres", happened: bool
) -> None:
    begun = started(1, key="k")
    store.lose_next_commit(happened=happened)
    with pytest.raises(CommitUnknown):
        await store.start([begun])
    assert bool(await store.heads([saga_id(1)])) is happened
    assert bool(await store.by_key([("pair", "k")])) is happened

    assert bool((await store.start([begun])).moved) is not happened, "asked again, it is there once"
    word = succeeded(begun.state)
    following = move(begun.state, word)
    store.lose_next_commit(happened=happened)
    with pytest.raises(CommitUnknown):
        await store.append([following])
    assert (await store.seen([(saga_id(1), word.id)]) != set()) is happened
    assert ((await store.append([following])).moved == set()) is happened
    assert len(await store.history(saga_id(1))) == following.state.version


@pytest.mark.parametrize("happened", [True, False])
async def test_the_engine_decides_again_and_everything_is_there_once(
    store: "MemoryStore | LosingPostgres", happened: bool
) -> None:
    engine = Engine(store, LoopClock())
    word = Start(new_id(), MANIFEST, {"n": 1}, key="lost")
    store.lose_next_commit(happened=happened)
    (answer,) = await engine.apply([word])
    assert (answer.code, answer.saga_id) == ("created", word.saga_id)
    store.lose_next_commit(happened=happened)
    await engine.apply([succeeded((await store.heads([word.saga_id]))[word.saga_id])])
    state = (await store.heads([word.saga_id]))[word.saga_id]
    assert state.step("first").status == "succeeded"
    assert len(await store.history(word.saga_id)) == state.version == 4


async def test_a_joined_start_is_there_after_the_callers_commit_and_nobody_has_sent_it(
    store: "MemoryStore | LosingPostgres", joining: Joining
) -> None:
    engine = Engine(store, LoopClock())
    word = Start(new_id(), MANIFEST, {"n": 1}, key="joined")
    async with joining() as connection:
        assert (await engine.start_within(word, connection)).code == "created"
    assert (await store.heads([word.saga_id]))[word.saga_id].key == "joined"
    assert len(await store.history(word.saga_id)) == 2
    assert await store.unpublished(0, 10) == [], "it is marked, so the sweep leaves it alone (rule_C9)"
    assert [row.saga_id for row in await store.take_unsent(10)] == [word.saga_id]


async def test_a_joined_start_of_a_known_key_is_that_saga_or_a_conflict(
    store: "MemoryStore | LosingPostgres", joining: Joining
) -> None:
    engine = Engine(store, LoopClock())
    first = Start(new_id(), MANIFEST, {"n": 1}, key="joined")
    await engine.apply([first])
    for value, code in (({"n": 1}, "known"), ({"n": 2}, "conflict")):
        async with joining() as connection:
            answer = await engine.start_within(Start(new_id(), MANIFEST, value, key="joined"), connection)
        assert (answer.code, answer.saga_id) == (code, first.saga_id)
    assert await store.take_unsent(10) == []


async def test_a_start_in_a_transaction_that_is_rolled_back_never_was(postgres: LosingPostgres) -> None:
    """The memory store has no transactions."""
    engine = Engine(postgres, LoopClock())
    word = Start(new_id(), MANIFEST, None, key="joined")
    with contextlib.suppress(ZeroDivisionError):
        async with postgres.pool.acquire() as connection, connection.transaction():
            assert (await engine.start_within(word, connection)).code == "created"
            assert await postgres.heads([word.saga_id]) == {}, "nobody else sees it yet"
            raise ZeroDivisionError
    assert await postgres.heads([word.saga_id]) == {}
    assert await postgres.take_unsent(10) == []

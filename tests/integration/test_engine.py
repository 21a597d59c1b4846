"""The engine on real PostgreSQL: joined starts, lost commit answers, duplicates, large values, plans of statements."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.identifiers import new_id
from eventstore import queries
from eventstore.arrays import columns_of, written
from eventstore.postgres import PostgresStore
from eventstore.queries import query
from orchestrator.engine import Engine
from orchestrator.waits import move_of
from sagas.decide import decide
from sagas.events import CancelRequested
from sagas.inputs import Cancel, Outcome, Start
from sagas.ports import Store, StoreUnavailable
from sagas.state import State
from tests.conformance.test_store import MANIFEST, succeeded


def start(value: Any = None, key: str | None = None) -> Start:
    return Start(new_id(), MANIFEST, value, key=key)


async def head(store: Store, word: Start) -> State:
    return (await store.heads([word.saga_id]))[word.saga_id]


async def test_the_same_word_twice_appends_once(store: PostgresStore, engine: Engine) -> None:
    word = start()
    await engine.apply([word])
    outcome = succeeded(await head(store, word))
    first, second = await engine.apply([outcome, outcome])
    (third,) = await engine.apply([outcome])
    assert [first.code, second.code, third.code] == ["accepted", "nothing", "nothing"]
    assert (await head(store, word)).version == 4


async def test_two_engines_at_once_decide_as_one(store: PostgresStore) -> None:
    words = [start() for _ in range(20)]
    engines = [Engine(store, LoopClock()) for _ in range(4)]
    await engines[0].apply(words)
    heads = await store.heads([word.saga_id for word in words])
    outcomes = [succeeded(state) for state in heads.values()]
    await asyncio.gather(*(engine.apply(outcomes) for engine in engines))
    for word in words:
        assert (await head(store, word)).version == 4


async def test_a_key_is_known_in_conflict_or_free_again(store: PostgresStore, engine: Engine) -> None:
    word = start({"n": 1}, key="k")
    again, other = start({"n": 1}, key="k"), start({"n": 2}, key="k")
    answers = await engine.apply([word, again, other])
    assert [answer.code for answer in answers] == ["created", "known", "conflict"]
    assert {answer.saga_id for answer in answers} == {word.saga_id}
    await engine.apply([Cancel(word.saga_id, "no", "c1")])
    state = await head(store, word)
    await engine.apply([Outcome(word.saga_id, 2, 1, "first", None, "step", "refused", cause="drained")])
    state = await head(store, word)
    assert state.status == "compensated"
    (answer,) = await engine.apply([start({"n": 2}, key="k")])
    assert answer.code == "created"


ODD = ("", " ", "NULL", "null", "a,b", "{a}", '"', 'a"b', "\\", 'a\\"b', "a\nb\t", "{}", "é", "\U0001f600", "'; --")


async def test_texts_come_back_as_they_were_whatever_they_hold(store: PostgresStore, engine: Engine) -> None:
    words = [start(text, key=text) for text in ODD]
    assert {answer.code for answer in await engine.apply(words)} == {"created"}
    found = await store.by_key([(MANIFEST.name, text) for text in ODD])
    assert {key: state.saga_id for (_, key), state in found.items()} == {word.key: word.saga_id for word in words}
    await engine.apply([Cancel(word.saga_id, text, text, actor=text) for word, text in zip(words, ODD, strict=True)])
    for word, text in zip(words, ODD, strict=True):
        entries = await store.history(word.saga_id)
        asked = next(entry for entry in entries if isinstance(entry.event, CancelRequested))
        assert isinstance(asked.event, CancelRequested)
        assert (asked.actor, asked.event.reason) == (text, text)
        assert text in asked.causation


async def test_a_large_value_stands_once_under_its_hash(store: PostgresStore, engine: Engine) -> None:
    words = [start({"text": "x" * 10_000}) for _ in range(3)]
    await engine.apply(words)
    assert await store.pool.fetchval("SELECT count(*) FROM amends.payloads") == 1
    assert max(len(row["d"]) for row in await store.pool.fetch(
        "SELECT event_data::text AS d FROM amends.workflow_events")) < 1000  # fmt: skip
    state = await head(store, words[0])
    assert (await store.values([(words[0].saga_id, state.input)]))[0] == {"text": "x" * 10_000}


async def test_a_result_over_the_limit_is_unknown_for_good(store: PostgresStore, engine: Engine) -> None:
    word = start()
    await engine.apply([word])
    await engine.apply([succeeded(await head(store, word), "x" * 2_000_000)])
    state = await head(store, word)
    assert state.status == "compensating"
    assert state.error is not None
    assert state.error["code"] == "payload_too_large"


async def test_without_a_database_nothing_is_promised() -> None:
    with pytest.raises(StoreUnavailable):
        await PostgresStore.open("postgresql://amends@/amends?host=/nowhere")


def indexes_of(plan: Any) -> set[str]:
    """Which indexes a plan uses on `sagas`, and `seq` where it reads the whole table."""
    found: set[str] = set()
    kind = type(plan).__name__
    if kind == "dict":
        if plan.get("Relation Name") == "sagas" and "Scan" in plan["Node Type"]:
            found.add(plan.get("Index Name", "seq"))
        for part in plan.values():
            found |= indexes_of(part)
    elif kind == "list":
        for part in plan:
            found |= indexes_of(part)
    return found


@pytest.mark.parametrize("rows", [0, 50_000])
async def test_an_append_goes_by_the_primary_key_on_empty_and_on_large_tables(store: PostgresStore, rows: int) -> None:
    """rule_A6."""
    await store.pool.execute(
        "INSERT INTO amends.sagas (saga_id, definition, fingerprint, status, version, state) "
        "SELECT gen_random_uuid(), 'pair', 'f', 'active', 1, '{}' FROM generate_series(1, $1)",
        rows,
    )
    word = start()
    decision = decide(MANIFEST, State(word.saga_id), word, 0.0)
    move = move_of(MANIFEST, State(word.saga_id), decision.state, decision.recorded, 4.0)
    async with store.appending.acquire() as connection:
        plan = await connection.fetchval("EXPLAIN (FORMAT JSON) " + query("append"), *written(columns_of([move])))
    assert indexes_of(json.loads(plan)) == {"sagas_pkey"}


def test_queries_are_named_for_what_they_do() -> None:
    folder = Path(queries.__file__).parent
    for path in folder.glob("*.sql"):
        assert path.read_text("utf-8").startswith("--"), f"{path.name} says what it is for"

"""A newer program wrote to a saga: on a real database this one leaves it as it stands, says so, and serves others."""

from typing import Any

import pytest

from amends import views
from amends.backend import Backend
from amends.explanation import explain
from eventstore.feed import Cursor, read
from eventstore.invariants import check
from eventstore.postgres import PostgresStore
from eventstore.projections import NewerVersion, Projection, advance
from orchestrator.engine import Engine
from reconciler.checks import sagas_newer, waits_overdue
from reconciler.evidence import PostgresEvidence
from sagas.inputs import Cancel, Input
from sagas.listing import SagaFilter
from tests.conformance.test_store import succeeded
from tests.integration.test_engine import head, start

WRITE = """
INSERT INTO amends.workflow_events
    (workflow_id, sequence_number, event_type, schema_version, event_data, created_at, causation_id)
SELECT saga_id, version + 1, $2, $3, '{"step": "first", "attempt": 1, "mood": "good"}', now(), 'x'
FROM amends.sagas WHERE saga_id = $1
"""
HEADS = {
    "its format": """
        UPDATE amends.sagas SET version = version + 1, format = 2, state = (state::jsonb || jsonb_build_object(
            'version', version + 1, 'format', 2, 'release', '9.9', 'mood', 'good'))::json WHERE saga_id = $1""",
    "a field that is unknown here": """
        UPDATE amends.sagas SET version = version + 1, state = (state::jsonb || jsonb_build_object(
            'version', version + 1, 'mood', 'good'))::json WHERE saga_id = $1""",
    "its version alone": "UPDATE amends.sagas SET version = version + 1 WHERE saga_id = $1",
}


async def write_newer(store: PostgresStore, saga_id: str, how: str, kind: str = "StepPaused", version: int = 1) -> None:
    await store.pool.execute(WRITE, saga_id, kind, version)
    await store.pool.execute(HEADS[how], saga_id)


def backend_of(store: PostgresStore, engine: Engine) -> Backend:
    nobody: Any = None
    return Backend(store, store.pool, engine, nobody, {})


@pytest.mark.parametrize(("kind", "version"), [("StepPaused", 1), ("StepSucceeded", 99)])
@pytest.mark.parametrize("how", HEADS)
async def test_a_saga_with_a_newer_event_stands_still_and_the_others_of_its_batch_go_on(
    store: PostgresStore, engine: Engine, how: str, kind: str, version: int
) -> None:
    """rule_A9: nothing of it is dropped, whatever tells us of it."""
    one, other = start(), start(key="k")
    await engine.apply([one, other])
    before = await head(store, one)
    words: list[Input] = [succeeded(before), succeeded(await head(store, other)), Cancel(one.saga_id, "stop", "c1")]
    await write_newer(store, one.saga_id, how, kind, version)
    assert [answer.code for answer in await engine.apply(words)] == ["newer", "accepted", "newer"]
    assert len(await store.history(one.saga_id)) == before.version + 1
    view = await backend_of(store, engine).view(one.saga_id)
    assert view is not None
    told = "\n".join(explain(view, 0, 0))
    needs = "amends >= 9.9" if how == "its format" else "a newer amends than 0.1"
    assert f"newer_event: needs {needs}" in told
    assert f"({kind}, version {version})" in told
    rows = [views.summary(row) for row in await store.sagas(SagaFilter())]
    assert [row["sagaId"] for row in rows if "newer_event" in str(row["waitsFor"])] == [one.saga_id]
    found = [one for one in (await check(store.pool)).violations if "newer_event" in one.detail]
    assert [(entry.rule, entry.saga_id) for entry in found] == [("every saga can be read by this program", one.saga_id)]


async def test_events_that_the_head_does_not_tell_of_are_never_overwritten(
    store: PostgresStore, engine: Engine
) -> None:
    one, other = start(), start()
    await engine.apply([one, other])
    await store.pool.execute(WRITE, one.saga_id, "StepPaused", 1)
    words = [succeeded(await head(store, word)) for word in (one, other)]
    assert [answer.code for answer in await engine.apply(words)] == ["newer", "accepted"]
    assert len(await store.history(one.saga_id)) == 3


async def test_a_newer_saga_is_no_orchestrators_work_and_a_finding(store: PostgresStore, engine: Engine) -> None:
    word = start()
    await engine.apply([word])
    await store.pool.execute(
        "UPDATE amends.waits SET due_at = now() - interval '1 hour', since = now() - interval '1 hour'"
    )
    assert len(await store.due(10)) == 1
    await write_newer(store, word.saga_id, "its format")
    assert await store.due(10) == []
    assert (await store.peek()).due_at is None
    assert await store.unpublished(1, 10) == []
    await store.mark_unsent([(word.saga_id, 2)])
    assert await store.take_unsent(10) == []
    async with PostgresEvidence(store.pool).look() as sight:
        assert sight is not None
        assert await waits_overdue.find(sight, 10) == []
        (finding,) = await sagas_newer.find(sight, 10)
    assert (finding.saga_id, finding.repair, finding.proposal[:18]) == (word.saga_id, None, "run amends 9.9 or ")


async def test_a_start_whose_key_a_newer_saga_holds_is_answered_so(store: PostgresStore, engine: Engine) -> None:
    word = start(key="k")
    await engine.apply([word])
    await write_newer(store, word.saga_id, "its format")
    (answer,) = await engine.apply([start(key="k")])
    assert (answer.code, answer.saga_id) == ("newer", word.saga_id)


async def test_a_projection_stops_before_an_event_that_it_cannot_read(store: PostgresStore, engine: Engine) -> None:
    word = start()
    await engine.apply([word])
    await write_newer(store, word.saga_id, "its format")
    seen: list[str] = []

    async def apply(_: Any, events: Any) -> None:
        seen.extend(event.type for event in events)

    projection = Projection("newer", 1, "public.nothing", apply)
    assert await advance(store.pool, projection) == 2
    assert seen == ["SagaStarted", "StepScheduled"]
    with pytest.raises(NewerVersion, match=f"the StepPaused of saga {word.saga_id}"):
        await advance(store.pool, projection)
    assert [event.newer for event in await read(store.pool, Cursor())] == [False, False, True]

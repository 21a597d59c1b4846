"""What `python -m bench.seeding` writes is what the rules would have written."""

from bench.seeding import seed
from eventstore.invariants import check
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.inputs import Send
from sagas.listing import SagaFilter


async def test_seeded_sagas_keep_every_promise(database_url: str, store: PostgresStore, engine: Engine) -> None:
    done = await seed(database_url, finished=40, waiting_sagas=20, age_days=60)
    assert (done.sagas, done.events) == (60, 36 * 10 + 4 * 13 + 20 * 4)
    report = await check(store.pool)
    assert (report.sagas, report.violations) == (60, ())
    rows = await store.sagas(SagaFilter(waiting="signal", limit=50))
    assert len(rows) == 20
    (answer,) = await engine.apply([Send(rows[0].state.saga_id, "answered", {"yes": True}, "r1")])
    assert (answer.code, answer.status) == ("accepted", "completed")
    await seed(database_url, finished=10, waiting_sagas=0, age_days=60)
    assert (await check(store.pool)).violations == ()

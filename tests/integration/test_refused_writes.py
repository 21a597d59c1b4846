"""PostgreSQL that is read and cannot be written: a full disk, a standby. No commit is in doubt (rules A7, A11)."""

import asyncpg
import pytest

from amends.clock import LoopClock
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.inputs import Due
from sagas.ports import StoreUnavailable
from tests.conformance.test_store import MANIFEST, move, saga_id, started, succeeded

FULL_DISK = """
    CREATE FUNCTION amends.full_disk() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON amends.workflow_events EXECUTE FUNCTION amends.full_disk()
"""
ROOM = "DROP FUNCTION amends.full_disk CASCADE"
STANDBY = (
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$"
)
PRIMARY = """
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$
"""


@pytest.mark.parametrize(("refuse", "again"), [(FULL_DISK, ROOM), (STANDBY, PRIMARY)])
async def test_a_refused_commit_is_known_not_to_have_happened(database_url: str, refuse: str, again: str) -> None:
    store = await PostgresStore.open(database_url)
    await store.put_manifest(MANIFEST)
    begun = started(1)
    await store.start([begun])
    await store.close()
    await _run(database_url, refuse)
    store = await PostgresStore.open(database_url)
    try:
        following = move(begun.state, succeeded(begun.state))
        with pytest.raises(StoreUnavailable):
            await store.append([following])
        with pytest.raises(StoreUnavailable):
            await store.start([started(2)])
        with pytest.raises(StoreUnavailable):
            await Engine(store, LoopClock()).apply([Due(saga_id(1), begun.waits_new[0].opened_by, "lost")])
        if refuse == STANDBY:
            with pytest.raises(StoreUnavailable):
                await store.prove_writable()
        assert len(await store.history(saga_id(1))) == begun.state.version
        assert await store.heads([saga_id(2)]) == {}
    finally:
        await store.close()
        await _run(database_url, again)
    store = await PostgresStore.open(database_url)
    await store.prove_writable()
    assert (await store.append([following])).moved == {saga_id(1)}
    await store.close()


async def _run(database_url: str, statements: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute(statements)
    await connection.close()

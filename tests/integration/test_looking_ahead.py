"""Looking ahead of a deploy, at a database that the new version of Amends has not migrated yet."""

from pathlib import Path

import asyncpg
import pytest

from amends.serving import look_ahead
from eventstore.migrate import NotMigratedError, migrate, pending
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.ports import StoreUnavailable
from tests.integration.test_engine import start
from tests.integration.test_operating import amends

SHOP = """
from pydantic import BaseModel

from amends import Saga


class Order(BaseModel):
    city: str


shop = Saga("shop", input=Order)


@shop.step("stock")
async def reserve(order: Order) -> int:
    return 1
"""


async def before_the_newest_migration(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE amends.sagas DROP COLUMN format")
    await connection.execute("DELETE FROM amends.schema_migrations WHERE number >= 6")
    await connection.close()
    assert await pending(url)


async def test_open_sagas_are_looked_at_before_the_database_is_migrated(
    store: PostgresStore, engine: Engine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    words = [start(), start()]
    await engine.apply(words)
    await before_the_newest_migration(database_url)
    (tmp_path / "shop.py").write_text(SHOP)
    told = await amends(database_url, redis_url, tmp_path, "check", "shop", "--against", database_url)
    assert (told.returncode, told.stderr) == (1, "")
    assert "2 of 2 open sagas could not be served" in told.stdout
    with pytest.raises(NotMigratedError, match="run `amends migrate`"):
        await PostgresStore.open(database_url)


async def test_who_looks_ahead_changes_nothing(store: PostgresStore, database_url: str) -> None:
    looking = await PostgresStore.open_to_read(database_url)
    assert (await look_ahead(looking, {})).open == 0
    word = start()
    with pytest.raises(StoreUnavailable, match="read-only"):
        await looking.put_manifest(word.manifest)
    await looking.close()
    assert await store.heads([word.saga_id]) == {}


async def test_a_database_without_sagas_is_no_database_of_amends(empty_url: str) -> None:
    with pytest.raises(NotMigratedError, match="no tables of Amends"):
        await PostgresStore.open_to_read(empty_url)
    await migrate(empty_url)
    await (await PostgresStore.open_to_read(empty_url)).close()

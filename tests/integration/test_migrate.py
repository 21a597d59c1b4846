"""Migrations: forward only, safe twice and from two machines at once; events never change."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

import eventstore.migrate
from eventstore.migrate import MigrationError, migrate, pending, read_migrations

EVENT = (
    "INSERT INTO amends.workflow_events "
    "(workflow_id, sequence_number, event_type, event_data, created_at, causation_id) "
    "VALUES (gen_random_uuid(), 1, 'SagaStarted', '{}', now(), 'c')"
)


async def test_a_second_run_has_nothing_to_do(empty_url: str) -> None:
    assert await pending(empty_url) == await migrate(empty_url)
    assert await migrate(empty_url) == []
    assert await pending(empty_url) == []


async def test_two_at_once_apply_everything_once(empty_url: str) -> None:
    results = await asyncio.gather(*(migrate(empty_url) for _ in range(4)))
    assert sorted(name for result in results for name in result) == await migrate_names()


async def test_who_comes_second_waits_for_the_first_however_long_it_takes(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventstore.migrate, "LOCK_SECONDS", 0.1)
    first = await asyncpg.connect(empty_url)
    await first.execute("SELECT pg_advisory_lock($1)", eventstore.migrate.LOCK)
    second = asyncio.create_task(migrate(empty_url))
    while not await first.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
        assert not second.done()
    await first.execute("SELECT pg_sleep(0.3)")
    await first.close()
    assert await second == await migrate_names()


async def test_an_older_version_beside_a_newer_one_has_nothing_to_do(empty_url: str, tmp_path: Path) -> None:
    """fault_44: both run for a while, so a file that is not here is no error."""
    newer = tmp_path / "0002_more.sql"
    (tmp_path / "0001_things.sql").write_text("CREATE TABLE things (id int);")
    newer.write_text("CREATE TABLE more (id int);")
    await migrate(empty_url, {"shop": tmp_path})
    newer.unlink()
    assert await migrate(empty_url, {"shop": tmp_path}) == []


async def migrate_names() -> list[str]:
    from eventstore.migrate import OWN

    return [f"amends/{migration.name}" for migration in read_migrations(OWN)]


@pytest.mark.parametrize(
    "command",
    [("keys", "list"), ("keys", "create", "a", "--role", "viewer"), ("doctor",), ("doctor", "--invariants"),
     ("doctor", "--rebuild", "marketplace_job_executions"), ("reconcile",), ("worker",), ("api",)],
)  # fmt: skip
async def test_whoever_needs_tables_that_are_not_there_says_what_to_run(
    empty_url: str, redis_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    told = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "amends", *command],
        env={**os.environ, "DATABASE_URL": empty_url, "REDIS_URL": redis_url, "AMENDS_API_KEY": "k" * 16},
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    said = told.stdout + told.stderr
    assert told.returncode == 3, said
    assert "run `amends migrate`" in said
    assert "Traceback" not in said


async def test_a_changed_file_is_refused(empty_url: str, tmp_path: Path) -> None:
    file = tmp_path / "0001_things.sql"
    file.write_text("CREATE TABLE things (id int);")
    assert await migrate(empty_url, {"shop": tmp_path}) == [*(await migrate_names()), "shop/0001_things.sql"]
    file.write_text("CREATE TABLE things (id bigint);")
    with pytest.raises(MigrationError, match=r"shop/0001_things\.sql was applied with another text"):
        await migrate(empty_url, {"shop": tmp_path})


async def test_a_file_that_fails_leaves_nothing_behind(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "0001_bad.sql").write_text("CREATE TABLE half (id int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_url, {"shop": tmp_path})
    connection = await asyncpg.connect(empty_url)
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    await connection.close()


async def test_a_file_without_a_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "things.sql").write_text("")
    with pytest.raises(MigrationError, match="NNNN_what_it_does"):
        read_migrations(tmp_path)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE amends.workflow_events SET actor = 'x'", "DELETE FROM amends.workflow_events",
     "TRUNCATE amends.workflow_events"],
)  # fmt: skip
async def test_not_even_the_owner_changes_events(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(EVENT)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="events never change"):
        await connection.execute(statement)
    await connection.execute("SET ROLE amends_app")
    await connection.execute(EVENT)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


async def test_the_application_cannot_touch_the_books_of_migrations(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET ROLE amends_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DELETE FROM amends.schema_migrations")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DROP TABLE amends.waits")
    await connection.close()

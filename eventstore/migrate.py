"""Migrations: numbered SQL files, forward only, each in a transaction of its own (design section 3)."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from sagas.records import record

OWN = Path(__file__).parent / "migrations"
FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
LOCK = 0x616D656E6473  # "amends" in ASCII
LOCK_SECONDS = 10

BOOKS = """
CREATE SCHEMA IF NOT EXISTS amends;
CREATE TABLE IF NOT EXISTS amends.schema_migrations (
    application text NOT NULL,
    number      integer NOT NULL,
    name        text NOT NULL,
    checksum    text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (application, number)
)
"""


class NotMigratedError(Exception):
    """The database has not all tables that this code needs; the text says what to do."""


class MigrationError(Exception):
    """The database cannot be brought up to date; the text says what to do."""


@record
class Migration:
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path) -> list[Migration]:
    """The migrations in a folder, in their order.

    Raises:
        MigrationError: a file has no number, or two have the same.
    """
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = FILE.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: a migration is called NNNN_what_it_does.sql")
        number = int(match[1])
        if number in found:
            raise MigrationError(f"{path.name} and {found[number].name} have the same number")
        found[number] = Migration(number, path.name, path.read_text("utf-8"))
    return list(found.values())


async def migrate(url: str, applications: Mapping[str, Path] | None = None) -> list[str]:
    """Bring the database up to date; what was applied, as `application/file`.

    Safe to run twice and from two machines at once: an advisory lock lets one go first, and the other waits for it.
    Each statement waits at most ten seconds for a lock of others. What a newer version has applied is left alone: both
    may run beside each other.

    Raises:
        MigrationError: a file that was applied has changed since.
        OSError, asyncpg.PostgresError: the database cannot be reached, or refuses a statement.
    """
    folders = {"amends": OWN, **(applications or {})}
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        async with connection.transaction():
            await _lock(connection)
            await connection.execute(BOOKS)
        applied: list[str] = []
        for application, folder in folders.items():
            for migration in read_migrations(folder):
                if await _apply(connection, application, migration):
                    applied.append(f"{application}/{migration.name}")
        return applied
    finally:
        await connection.close()


async def _lock(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Let one migrate at a time. However long the other takes is right; for what others lock, patience has an end."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", application: str, migration: Migration) -> bool:
    async with connection.transaction():
        await _lock(connection)
        known = await connection.fetchval(
            "SELECT checksum FROM amends.schema_migrations WHERE application = $1 AND number = $2",
            application,
            migration.number,
        )
        if known == migration.checksum:
            return False
        if known is not None:
            raise MigrationError(
                f"{application}/{migration.name} was applied with another text; a migration never changes once it has "
                "run: restore the file and add a new one"
            )
        if application != "amends":  # an owner called amends would find that schema first
            await connection.execute("SET LOCAL search_path TO public")
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO amends.schema_migrations (application, number, name, checksum) VALUES ($1, $2, $3, $4)",
            application,
            migration.number,
            migration.name,
            migration.checksum,
        )
        return True


async def pending(url: str, applications: Mapping[str, Path] | None = None) -> list[str]:
    """The migrations that are not applied yet, as `application/file`."""
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url, timeout=10)
    try:
        return await pending_on(connection, applications)
    finally:
        await connection.close()


async def pending_on(
    connection: "asyncpg.Connection[asyncpg.Record]", applications: Mapping[str, Path] | None = None
) -> list[str]:
    """The migrations that are not applied yet to the database of a connection."""
    rows = []
    if await connection.fetchval("SELECT to_regclass('amends.schema_migrations') IS NOT NULL"):
        rows = await connection.fetch("SELECT application, number FROM amends.schema_migrations")
    done = {(row["application"], row["number"]) for row in rows}
    return [
        f"{application}/{migration.name}"
        for application, folder in {"amends": OWN, **(applications or {})}.items()
        for migration in read_migrations(folder)
        if (application, migration.number) not in done
    ]


async def demand_migrated(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Look whether the database has all tables of Amends.

    Raises:
        NotMigratedError: it has not.
    """
    if missing := await pending_on(connection):
        raise NotMigratedError(f"the database lacks {', '.join(missing)}\n  remedy: run `amends migrate`")

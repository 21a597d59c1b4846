"""PostgreSQL and Valkey of the benchmark's own, with fsync, and what they count."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from amends.embedded import EmbeddedPostgres, EmbeddedValkey, remove
from amends.supervisor import ProcessPlan, Supervisor
from bench.resp import Connection

STOP_SECONDS = 20.0
COUNTED = """
SELECT xact_commit + xact_rollback, tup_inserted + tup_updated + tup_deleted,
    (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal')::float8,
    (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8, pg_database_size(datname),
    (SELECT coalesce(sum(n_tup_ins), 0)::float8 FROM pg_stat_user_tables
        WHERE relname IN ('workflow_events', 'floor_events'))
FROM pg_stat_database WHERE datname = current_database()
"""
ABOUT_THE_COUNTERS = ("info", "config|set", "config|get", "flushall", "select", "hello", "client|setinfo")


@dataclass(frozen=True)
class Counted:
    """What the servers have counted so far. `commits` are transactions, those that only read among them."""

    commits: float
    rows_written: float
    wal_syncs: float
    wal_bytes: float
    stored_bytes: float
    events: float
    redis_commands: float
    redis_bytes: float
    statements: float | None
    """None where they are not logged."""

    def per_saga(self, before: "Counted", sagas: int) -> dict[str, float | None]:
        """How much each saga took since then."""
        return {
            name: None if value is None else (value - getattr(before, name)) / max(sagas, 1)
            for name, value in self.__dict__.items()
        }


class Servers:
    """Started once for all rounds; each round has a fresh database and an empty Valkey."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._postgres = EmbeddedPostgres(folder / "postgres")
        self._valkey = EmbeddedValkey(folder)
        self._supervisor = Supervisor(lambda: None)
        self._database = ""
        self._logs = False

    @property
    def roles(self) -> Mapping[str, int]:
        """The processes of the servers."""
        return self._supervisor.pids

    @property
    def database_url(self) -> str:
        """The database of this round."""
        return self._postgres.url.replace("/amends?", f"/{self._database}?")

    @property
    def redis_url(self) -> str:
        """Valkey."""
        return self._valkey.url

    async def start(self) -> None:
        """Start both."""
        for server in (self._postgres, self._valkey):
            described = server.process()
            plan = ProcessPlan(
                described.name, described.arguments, described.environment, self._folder / f"{described.name}.log",
                STOP_SECONDS, server.prepare, server.ready, described.stop_signal, "/",
            )  # fmt: skip
            await self._supervisor.start(plan)

    async def stop(self) -> None:
        """End both, and remove what they kept."""
        await self._supervisor.stop(["valkey", "postgres"])
        self._postgres.clear()
        self._valkey.clear()
        remove(self._folder)

    async def versions(self) -> dict[str, str]:
        """Which servers they are."""
        connection = await asyncpg.connect(self._postgres.url.replace("/amends?", "/postgres?"))
        postgres = str(await connection.fetchval("SHOW server_version"))
        await connection.close()
        (told,) = await self._ask_redis(("INFO", "server"))
        lines = dict(line.split(":", 1) for line in told.decode().splitlines() if ":" in line)
        return {"PostgreSQL": postgres, "Valkey": lines.get("valkey_version", lines["redis_version"])}

    async def fresh(
        self, database: str, appendfsync: str, *, like: str | None = None, log_statements: bool = False
    ) -> None:
        """A database of that name, an empty Valkey that syncs its file so, and no dirty page that a round inherits.

        It is empty, or a copy of the database `like`. With `log_statements` what is asked of it is logged, and can be
        counted.
        """
        await self.drop()
        self._database = database
        copied = f'TEMPLATE "{like}" STRATEGY FILE_COPY' if like else ""
        await self._administer(f'CREATE DATABASE "{database}" {copied}', "CHECKPOINT")
        if log_statements:
            await self._administer(f"ALTER DATABASE \"{database}\" SET log_statement = 'all'")
        self._logs = log_statements
        await self._ask_redis(("FLUSHALL",), ("CONFIG", "SET", "appendfsync", appendfsync), ("CONFIG", "RESETSTAT"))

    async def make(self, database: str) -> str:
        """A database that stays for all rounds; its URL."""
        await self._administer(f'CREATE DATABASE "{database}"')
        return self._postgres.url.replace("/amends?", f"/{database}?")

    async def drop(self) -> None:
        """Remove the database of the former round."""
        if self._database:
            await self._administer(f'DROP DATABASE IF EXISTS "{self._database}" WITH (FORCE)')
            self._database = ""

    async def count(self) -> Counted:
        """What both have counted. Those of a process are complete once it has ended."""
        connection = await asyncpg.connect(self.database_url)
        row = await connection.fetchrow(COUNTED)
        await connection.close()
        statistics, memory = await self._ask_redis(("INFO", "commandstats"), ("INFO", "memory"))
        assert row is not None, "the database of the round is there"
        commits, rows_written, wal_syncs, wal_bytes, stored_bytes, events = row
        used = dict(line.split(":", 1) for line in memory.decode().splitlines() if ":" in line)
        return Counted(commits, rows_written, wal_syncs, wal_bytes, stored_bytes, events, commands(statistics.decode()),
                       float(used["used_memory_dataset"]), self._statements())  # fmt: skip

    def _statements(self) -> int | None:
        if not self._logs:
            return None
        return statements((self._folder / "postgres.log").read_text("utf-8", "replace"))

    async def _administer(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._postgres.url.replace("/amends?", "/postgres?"))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    async def _ask_redis(self, *commands: tuple[str, ...]) -> list[bytes]:
        connection = await Connection.open(self.redis_url)
        try:
            return await connection.ask(commands)
        finally:
            await connection.close()


def commands(statistics: str) -> int:
    """How many commands were called but those of the harness itself; `statistics` is INFO commandstats."""
    total = 0
    for line in statistics.splitlines():
        name, _, numbers = line.removeprefix("cmdstat_").partition(":calls=")
        if numbers and name not in ABOUT_THE_COUNTERS:
            total += int(numbers.partition(",")[0])
    return total


def statements(text: str) -> int:
    """How many statements a log of PostgreSQL tells of; those of the protocol's both kinds."""
    return text.count(" LOG:  execute ") + text.count(" LOG:  statement: ")

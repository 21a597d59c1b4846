"""What a new connection does first, and whose role it takes."""

from typing import Any

import asyncpg

from eventstore.migrate import NotMigratedError, demand_migrated

# A statement is prepared once, mostly while tables are empty, and its plan is kept: it goes by the indexes (rule A6).
PLAN_SETTINGS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
PLAN_SECONDS = 20
"""How long a plan is kept: one of tables that were small reads whole indexes of them once they are large."""


async def meet_cluster(connection: Any) -> None:
    """A new connection may be one to another cluster, whose transactions count anew (rule A12)."""
    try:
        await connection.execute("SELECT amends.meet_cluster()")
    except (asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError, asyncpg.ReadOnlySQLTransactionError):
        return  # not migrated yet, or a standby: nothing is appended there


def append_settings(lock_seconds: float | None) -> dict[str, str]:
    """The settings of connections for appends, which may wait so many seconds for a lock."""
    limit = {} if lock_seconds is None else {"lock_timeout": f"{lock_seconds * 1000:.0f}ms"}
    return PLAN_SETTINGS | limit


async def pool_of(
    url: str, size: int, seconds: float, settings: dict[str, str], *, lent: bool = False, appends: bool = False
) -> "asyncpg.Pool[asyncpg.Record]":
    """At most so many connections with these settings; a statement may take so many seconds.

    Connections that are `lent` are reset when they come back: a statement more each time, which our own need not.
    """
    return await asyncpg.create_pool(
        url, min_size=0 if lent else 1, max_size=size, server_settings=settings, timeout=seconds,
        command_timeout=seconds, init=meet_cluster if appends else None, reset=None if lent else _left_as_it_was,
        max_cached_statement_lifetime=PLAN_SECONDS,
    )  # fmt: skip


async def _left_as_it_was(connection: object) -> None:
    """A statement of ours changes nothing of the session."""


async def role_of(url: str, *, to_read: bool = False) -> str | None:
    """The application's role, where there is one that this user may take.

    Raises:
        NotMigratedError: the database lacks tables; `to_read` asks for those alone that were there from the first.
    """
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url, timeout=10)
    try:
        found: str | None = await connection.fetchval(
            "SELECT rolname FROM pg_roles WHERE rolname = 'amends_app' AND pg_has_role(current_user, oid, 'MEMBER')"
        )
        if found is not None:
            await connection.execute("SET ROLE amends_app")
        if not to_read:
            await demand_migrated(connection)
        elif await connection.fetchval("SELECT to_regclass('amends.sagas') IS NULL"):
            raise NotMigratedError("the database has no tables of Amends\n  remedy: name the one that you deploy to")
        return found
    finally:
        await connection.close()

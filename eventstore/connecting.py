"""What a new connection does first, and whose role it takes."""

from typing import Any

import asyncpg

from eventstore.migrate import demand_migrated


async def meet_cluster(connection: Any) -> None:
    """A new connection may be one to another cluster, whose transactions count anew (rule A12)."""
    try:
        await connection.execute("SELECT amends.meet_cluster()")
    except (asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError, asyncpg.ReadOnlySQLTransactionError):
        return  # not migrated yet, or a standby: nothing is appended there


async def role_of(url: str) -> str | None:
    """The application's role, where there is one that this user may take."""
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url, timeout=10)
    try:
        found: str | None = await connection.fetchval(
            "SELECT rolname FROM pg_roles WHERE rolname = 'amends_app' AND pg_has_role(current_user, oid, 'MEMBER')"
        )
        if found is not None:
            await connection.execute("SET ROLE amends_app")
        await demand_migrated(connection)
        return found
    finally:
        await connection.close()

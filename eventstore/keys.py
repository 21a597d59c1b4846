"""API keys: 256 random bits, of which only the SHA-256 is kept (req. G-2)."""

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from eventstore.key_roles import ROLES, Role
from eventstore.postgres import reachable
from sagas.records import record

if TYPE_CHECKING:
    import asyncpg

BRAND = "amends"


@record
class KeyRow:
    """A key as lists show it; instants are seconds since 1970."""

    prefix: str
    name: str
    role: Role
    created_at: float
    revoked_at: float | None


class Keys:
    """The keys that are kept in the database."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def create(self, name: str, role: Role) -> str:
        """Make a key, and give it; it is never shown again.

        Raises:
            StoreUnavailable: the database is away.
        """
        prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        async with reachable():
            await self._pool.execute(
                "INSERT INTO amends.api_keys (prefix, digest, name, role) VALUES ($1, $2, $3, $4)",
                prefix, _digest(secret), name, role,
            )  # fmt: skip
        return f"{BRAND}_{prefix}_{secret}"

    async def list(self) -> list[KeyRow]:
        """All keys, also those that were revoked, oldest first.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with reachable():
            rows = await self._pool.fetch(
                "SELECT prefix, name, role, extract(epoch FROM created_at)::float8 AS created_at, "
                "extract(epoch FROM revoked_at)::float8 AS revoked_at FROM amends.api_keys ORDER BY created_at, prefix"
            )
        return [KeyRow(**dict(row.items())) for row in rows]

    async def revoke(self, prefix: str) -> bool:
        """Let a key open nothing any more; whether there was one that did.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with reachable():
            done = await self._pool.fetchval(
                "UPDATE amends.api_keys SET revoked_at = clock_timestamp() WHERE prefix = $1 AND revoked_at IS NULL "
                "RETURNING true",
                prefix,
            )
        return bool(done)

    async def find(self, shown: str) -> KeyRow | None:
        """The key that was shown, if it opens anything.

        Raises:
            StoreUnavailable: the database is away.
        """
        brand, _, rest = shown.partition("_")
        prefix, _, secret = rest.partition("_")
        if brand != BRAND or not prefix.isascii() or not secret:
            return None
        async with reachable():
            row = await self._pool.fetchrow(
                "SELECT prefix, digest, name, role, extract(epoch FROM created_at)::float8 AS created_at "
                "FROM amends.api_keys WHERE prefix = $1 AND revoked_at IS NULL",
                prefix,
            )
        if row is None or not hmac.compare_digest(bytes(row["digest"]), _digest(secret)):
            return None
        return KeyRow(row["prefix"], row["name"], row["role"], row["created_at"], None)


def allows(role: Role, needed: Role) -> bool:
    """Whether a role includes another: viewer, then producer, then operator."""
    return ROLES.index(role) >= ROLES.index(needed)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

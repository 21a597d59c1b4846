"""Keyed requests: the same Idempotency-Key and body give the same answer, whoever asks again and when (design 10)."""

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson

from eventstore.postgres import reachable
from sagas.records import record

if TYPE_CHECKING:
    import asyncpg

RUN_SECONDS = 30.0
LOOK_SECONDS = 0.05
KEEP_HOURS = 24
TAKE = """
INSERT INTO amends.request_keys AS known (caller, key, body_hash, ids_from, runs_until)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
ON CONFLICT (caller, key) DO UPDATE SET runs_until = excluded.runs_until
    WHERE known.answered_at IS NULL AND known.runs_until < clock_timestamp() AND known.body_hash = excluded.body_hash
RETURNING ids_from
"""
FIND = "SELECT body_hash, status, headers::text, body FROM amends.request_keys WHERE caller = $1 AND key = $2"
KEEP = """
UPDATE amends.request_keys SET status = $3, headers = $4, body = $5, answered_at = clock_timestamp()
WHERE caller = $1 AND key = $2
"""
FREE = "UPDATE amends.request_keys SET runs_until = '-infinity' WHERE caller = $1 AND key = $2 AND answered_at IS NULL"
FORGET = "DELETE FROM amends.request_keys WHERE created_at < clock_timestamp() - make_interval(hours => $1)"


class KeyReused(Exception):
    """The key was used with another body."""


class KeyBusy(Exception):
    """The first request with this key still runs."""


@record
class KeptAnswer:
    """What a request was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Requests:
    """The keyed requests of the last day."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def begin(
        self, caller: str, key: str, body_hash: str, wait_seconds: float = RUN_SECONDS
    ) -> UUID | KeptAnswer:
        """Take the key, or give what it was answered; a twin that is under way is waited for.

        Whoever takes it makes its ids from the UUID that is given, so that a request that is done again after a crash
        meets what it did before.

        Raises:
            KeyReused: it was used with another body. KeyBusy: the twin does not end. StoreUnavailable.
        """
        until = asyncio.get_running_loop().time() + wait_seconds
        while True:
            async with reachable():
                taken: UUID | None = await self._pool.fetchval(TAKE, caller, key, body_hash, uuid4(), RUN_SECONDS)
                row: Any = None if taken is not None else await self._pool.fetchrow(FIND, caller, key)
            if taken is not None:
                return taken
            if row is not None and row["body_hash"] != body_hash:
                raise KeyReused(key)
            if row is not None and row["status"] is not None:
                return KeptAnswer(row["status"], orjson.loads(row["headers"]), bytes(row["body"]))
            if asyncio.get_running_loop().time() > until:
                raise KeyBusy(key)
            await asyncio.sleep(LOOK_SECONDS)

    async def keep(self, caller: str, key: str, answer: KeptAnswer) -> None:
        """Keep the answer. Durable: once it has returned.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with reachable():
            headers = orjson.dumps(answer.headers).decode()
            await self._pool.execute(KEEP, caller, key, answer.status, headers, answer.body)

    async def free(self, caller: str, key: str) -> None:
        """The request failed through no fault of the caller: it may be tried again under this key.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with reachable():
            await self._pool.execute(FREE, caller, key)

    async def forget(self) -> None:
        """Forget what is older than a day.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with reachable():
            await self._pool.execute(FORGET, KEEP_HOURS)

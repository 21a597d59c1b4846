"""Keyed requests: the same Idempotency-Key and body give the same answer, whoever asks again and when (design 10)."""

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson

from eventstore.gathering import Asked, Gathering
from eventstore.postgres import reachable
from sagas.records import record

if TYPE_CHECKING:
    import asyncpg

RUN_SECONDS = 30.0
LOOK_SECONDS = 0.05
KEEP_HOURS = 24
TAKE = """
INSERT INTO amends.request_keys AS known (caller, key, body_hash, ids_from, runs_until)
SELECT caller, key, body_hash, ids_from, clock_timestamp() + make_interval(secs => $5)
FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) AS asked(caller, key, body_hash, ids_from)
ORDER BY caller, key
ON CONFLICT (caller, key) DO UPDATE SET runs_until = excluded.runs_until
    WHERE known.answered_at IS NULL AND known.runs_until < clock_timestamp() AND known.body_hash = excluded.body_hash
RETURNING caller, key, ids_from
"""
FIND = """
SELECT caller, key, body_hash, status, headers::text, body
FROM unnest($1::text[], $2::text[]) AS asked(caller, key) JOIN amends.request_keys USING (caller, key)
"""
KEEP = """
WITH kept AS (
    SELECT caller, key, told.status, told.headers, told.body
    FROM unnest($1::text[], $2::text[], $3::int[], $4::jsonb[], $5::bytea[]) AS told(caller, key, status, headers, body)
    JOIN amends.request_keys AS known USING (caller, key)
    ORDER BY caller, key FOR UPDATE OF known
)
UPDATE amends.request_keys AS known
SET status = kept.status, headers = kept.headers, body = kept.body, answered_at = clock_timestamp()
FROM kept WHERE known.caller = kept.caller AND known.key = kept.key
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


@record
class _Taking:
    """A key that somebody wants to take."""

    caller: str
    key: str
    body_hash: str


@record
class _Keeping:
    """An answer that is to be kept."""

    caller: str
    key: str
    answer: KeptAnswer


class Requests:
    """The keyed requests of the last day. Those that come together share statements and commits."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._taking: Gathering[_Taking, Any] = Gathering(self._take)
        self._keeping: Gathering[_Keeping, None] = Gathering(self._keep)

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
            (found,) = await self._taking.ask([_Taking(caller, key, body_hash)])
            if isinstance(found, UUID):
                return found
            if found is not None and found["body_hash"] != body_hash:
                raise KeyReused(key)
            if found is not None and found["status"] is not None:
                return KeptAnswer(found["status"], orjson.loads(found["headers"]), bytes(found["body"]))
            if asyncio.get_running_loop().time() > until:
                raise KeyBusy(key)
            await asyncio.sleep(LOOK_SECONDS)

    async def keep(self, caller: str, key: str, answer: KeptAnswer) -> None:
        """Keep the answer. Durable: once it has returned.

        Raises:
            StoreUnavailable: the database is away.
        """
        await self._keeping.ask([_Keeping(caller, key, answer)], len(answer.body))

    async def _take(self, batch: list[Asked[_Taking, Any]]) -> None:
        """Answer each with the UUID of the key that it took, or with the row that has it; of twins one may take it."""
        words = [word for asked in batch for word in asked.words]
        wanted = {(word.caller, word.key): word for word in reversed(words)}  # of each the first
        hashes, origins = [word.body_hash for word in wanted.values()], [uuid4() for _ in wanted]
        async with reachable():
            rows = await self._pool.fetch(TAKE, *_columns(wanted), hashes, origins, RUN_SECONDS)
            taken = {(row["caller"], row["key"]): row["ids_from"] for row in rows}
            held: dict[tuple[str, str], Any] = {}
            if others := [(word.caller, word.key) for word in words if taken.get((word.caller, word.key)) is None]:
                rows = await self._pool.fetch(FIND, *_columns(others))
                held = {(row["caller"], row["key"]): row for row in rows}
        for asked in batch:
            places = [(word.caller, word.key) for word in asked.words]
            asked.answer([taken.pop(place, None) or held.get(place) for place in places])

    async def _keep(self, batch: list[Asked[_Keeping, None]]) -> None:
        words = [word for asked in batch for word in asked.words]
        answers = [word.answer for word in words]
        async with reachable():
            await self._pool.execute(
                KEEP,
                *_columns([(word.caller, word.key) for word in words]),
                [answer.status for answer in answers],
                [orjson.dumps(answer.headers).decode() for answer in answers],
                [answer.body for answer in answers],
            )
        for asked in batch:
            asked.answer([None for _ in asked.words])

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


def _columns(places: Collection[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [caller for caller, _ in places], [key for _, key in places]

"""What may leave the database for an archive, and how it leaves: in small commits that wait for nobody.

A saga leaves with its whole family, once all of them have ended long ago and wait for nothing, and every reader of the
feed has read them. Its file is written before; a row of `archived_sagas` says which, in the commit that takes it away.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from eventstore.feed import Cursor
from eventstore.projections import Projection
from sagas.manifest import Manifest
from sagas.state import State
from sagas.versions import FORMAT

PAGE = 1_000
RIPE = f"""
    (status IN ('completed', 'compensated') OR closed) AND updated_at < to_timestamp($2) AND format <= {FORMAT}
    AND NOT EXISTS (SELECT FROM amends.waits AS wait WHERE wait.saga_id = saga.saga_id)
"""
ROOTS = f"""
SELECT saga_id::text, {RIPE} AND state ->> 'parent' IS NULL AS ripe
FROM (SELECT * FROM amends.sagas WHERE saga_id > $1::uuid ORDER BY saga_id LIMIT {PAGE}) AS saga
ORDER BY saga.saga_id
"""  # noqa: S608 - nothing that anybody sends
HEADS = f"""
SELECT saga_id::text, definition, fingerprint, status, version, key, held, closed, format, state::text,
    extract(epoch FROM created_at)::float8 AS created_at, extract(epoch FROM updated_at)::float8 AS updated_at,
    {RIPE} AS ripe
FROM amends.sagas AS saga WHERE saga_id = ANY($1::uuid[])
"""  # noqa: S608
EVENTS = """
SELECT workflow_id::text, sequence_number, event_type, schema_version, event_data::text,
    extract(epoch FROM created_at)::float8 AS at, actor, trace_id, causation_id, epoch, transaction_id::text, position
FROM amends.workflow_events WHERE workflow_id = ANY($1::uuid[]) ORDER BY workflow_id, sequence_number
"""
READERS = "SELECT name, epoch, transaction_id::text, position FROM amends.feed_cursors"
NO_NEW_READERS = "LOCK TABLE amends.feed_cursors IN SHARE MODE"
LOCK_READERS = f"{READERS} ORDER BY name FOR SHARE"
LOCK = """
SELECT saga_id::text, version FROM amends.sagas WHERE saga_id = ANY($1::uuid[])
ORDER BY saga_id FOR UPDATE SKIP LOCKED
"""
NOTE = """
INSERT INTO amends.archived_sagas (saga_id, archive_id) SELECT id, $2 FROM unnest($1::uuid[]) AS id
ON CONFLICT (saga_id) DO UPDATE SET archive_id = excluded.archive_id
"""
REMOVE = (
    "DELETE FROM amends.workflow_events WHERE workflow_id = ANY($1::uuid[])",
    "DELETE FROM amends.sagas WHERE saga_id = ANY($1::uuid[])",
)
REMOVE_EFFECTS = "DELETE FROM amends.effects WHERE idempotency_key = ANY($1::text[])"
TELL_NO_MORE = """
DELETE FROM amends.event_outbox WHERE id IN (
    SELECT id FROM amends.event_outbox WHERE published_at < to_timestamp($1) ORDER BY id LIMIT 1000
    FOR UPDATE SKIP LOCKED)
"""
UNNAMED = """
SELECT hash FROM amends.payloads AS payload
WHERE created_at < clock_timestamp() - interval '1 day' AND NOT EXISTS (
    SELECT FROM amends.workflow_events AS event
    WHERE event.event_data ? 'payload' AND event.event_data ->> 'payload' = payload.hash)
"""
DROP_PAYLOADS = """
DELETE FROM amends.payloads WHERE hash IN (
    SELECT hash FROM amends.payloads
    WHERE hash = ANY($1::text[]) AND created_at < clock_timestamp() - interval '1 day'
    ORDER BY hash FOR UPDATE
)
"""
BATCH = 500


@dataclass
class Member:
    """A saga: its head and its events as rows."""

    head: Any
    events: list[Any] = field(default_factory=list[Any])

    @property
    def whole(self) -> bool:
        """Whether all its events are here."""
        version: int = self.head["version"]
        return [row["sequence_number"] for row in self.events] == list(range(1, version + 1))

    def children(self) -> list[str]:
        """The sagas that it has started."""
        return [
            str(orjson.loads(row["event_data"])["child_id"])
            for row in self.events
            if row["event_type"] == "ChildStarted"
        ]

    def payloads(self) -> list[str]:
        """The hashes of its large values."""
        found = [orjson.loads(row["event_data"]) for row in self.events if '"payload"' in row["event_data"]]
        return sorted({data["payload"] for data in found if isinstance(data.get("payload"), str)})

    def effect_keys(self, manifest: Manifest | None) -> list[str]:
        """The keys that its transaction steps, fallbacks and undos may have written (rule T2)."""
        if manifest is None:
            return []
        state = State.from_json(self.head["state"])
        keys: list[str] = []
        for name, item in state.steps:
            node = manifest.by_name.get(name)
            if node is None or not any(
                handler is not None and handler.transactional for handler in (node.handler, node.undo, node.fallback)
            ):
                continue
            key = f"{state.saga_id}/{name}" if item is None else f"{state.saga_id}/{name}/{item}"
            keys += [key, f"{key}/fallback", *(f"{key}/undo/{row['sequence_number']}" for row in self.events)]
        return keys


@dataclass
class Family:
    """A saga that nobody started but a caller, and all that it started: they leave together."""

    members: list[Member]

    @property
    def ids(self) -> list[str]:
        """Of all its sagas."""
        return [member.head["saga_id"] for member in self.members]

    @property
    def event_count(self) -> int:
        """Of all its sagas."""
        return sum(len(member.events) for member in self.members)


async def roots(connection: Any, after: str, before: float) -> tuple[list[str], str | None]:
    """The next sagas that may leave and have no parent, and where the page ends; None: it was the last."""
    rows = await connection.fetch(ROOTS, after, before)
    return [row["saga_id"] for row in rows if row["ripe"]], rows[-1]["saga_id"] if len(rows) == PAGE else None


async def families(connection: Any, ids: Sequence[str], before: float, passed: Counter[str]) -> list[Family]:
    """The families of these sagas that may leave; of the others `passed` counts why they stay."""
    readers = await connection.fetch(READERS)
    found = [Family([member]) for member in (await _members(connection, ids, before)).values()]
    newest = [(family, family.members) for family in found]
    while wanted := {child: family for family, members in newest for one in members for child in one.children()}:
        born = await _members(connection, list(wanted), before)
        grown: dict[int, tuple[Family, list[Member]]] = {}
        for child, member in born.items():
            family = wanted[child]
            family.members.append(member)
            grown.setdefault(id(family), (family, []))[1].append(member)
        newest = list(grown.values())
    ripe: list[Family] = []
    for family in found:
        if (why := _why_it_stays(family, readers)) is None:
            ripe.append(family)
        else:
            passed[why] += len(family.members)
    return ripe


async def remove(
    connection: Any,
    archive_id: int,
    wanted: Sequence[Family],
    manifests: dict[str, Manifest | None],
    projections: Sequence[Projection],
) -> list[Family]:
    """Take families away in one commit, and note where they stand; those that have gone.

    A family stays if one of its sagas is locked, or has moved since it was read. All stay where a reader has come that
    is none of `projections`: nobody makes it forget what it has read of them.

    Raises:
        asyncpg.LockNotAvailableError: a projection is being filled, or checked, for longer than two seconds.
    """  # fmt: skip
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '2s'")
        await connection.execute(NO_NEW_READERS)
        readers = await connection.fetch(LOCK_READERS)
        if {row["name"] for row in readers} - {projection.name for projection in projections}:
            return []
        rows = await connection.fetch(LOCK, sorted(one for family in wanted for one in family.ids))
        versions = {row["saga_id"]: row["version"] for row in rows}
        gone = [
            family for family in wanted
            if all(versions.get(one.head["saga_id"]) == one.head["version"] for one in family.members)
            and _why_it_stays(family, readers) is None
        ]  # fmt: skip
        ids = sorted(one for family in gone for one in family.ids)
        if not ids:
            return []
        await connection.execute(NOTE, ids, archive_id)
        for projection in projections:
            assert projection.forget is not None
            await projection.forget(connection, ids)
        members = [member for family in gone for member in family.members]
        keys = [key for one in members for key in one.effect_keys(manifests.get(one.head["fingerprint"]))]
        if keys:
            await connection.execute(REMOVE_EFFECTS, keys)
        for statement in REMOVE:
            await connection.execute(statement, ids)
    return gone


async def tidy(connection: Any, before: float) -> tuple[int, int]:
    """Drop messages that were delivered before an instant, and large values that no event names any more; how many.

    A value that is put again is young again (`PostgresStore.put_payloads`), so none goes that is about to be named.
    """
    messages = payloads = 0
    while count := _count(await connection.execute(TELL_NO_MORE, before)):
        messages += count
    hashes = [row["hash"] for row in await connection.fetch(UNNAMED)]
    for first in range(0, len(hashes), BATCH):
        payloads += _count(await connection.execute(DROP_PAYLOADS, hashes[first : first + BATCH]))
    return messages, payloads


async def _members(connection: Any, ids: Sequence[str], before: float) -> dict[str, Member]:
    found = {row["saga_id"]: Member(row) for row in await connection.fetch(HEADS, list(ids), before)}
    for row in await connection.fetch(EVENTS, list(found)):
        found[row["workflow_id"]].events.append(row)
    return found


def _why_it_stays(family: Family, readers: Sequence[Any]) -> str | None:
    if not all(member.head["ripe"] for member in family.members):
        return "has a child that has not ended long ago"
    if not all(member.whole for member in family.members):
        return "moved just now"
    last = max(_cursor(row) for member in family.members for row in member.events)
    behind = [row["name"] for row in readers if _cursor(row) < last]
    return f"{min(behind)} has not read it: is the notifier running?" if behind else None


def _cursor(row: Any) -> Cursor:
    return Cursor(row["epoch"], int(row["transaction_id"]), row["position"])


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])

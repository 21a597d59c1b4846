"""The feed: all events of all sagas in an order that no reader sees change (rule A12).

Within a saga it is the order of sequence numbers. An event is given out once every older transaction has ended, so an
open transaction anywhere in the cluster holds the feed back, and none is ever skipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from eventstore.queries import query
from sagas.events import Json
from sagas.records import record
from sagas.versions import is_newer, upcast

BATCH = 500


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Where a reader stands: behind the event with this epoch, transaction and position."""

    epoch: int = 0
    transaction_id: int = 0
    position: int = 0


@record
class FeedEvent:
    """An event as readers of the feed get it. `data` is its JSON form, `at` the database's clock in seconds.

    `newer`: another program wrote it in a form that this one does not know.
    """

    cursor: Cursor
    saga_id: str
    sequence: int
    type: str
    data: Mapping[str, Json]
    at: float
    newer: bool = False


async def read(connection: Any, after: Cursor, limit: int = BATCH) -> list[FeedEvent]:
    """The next events behind a cursor, on an asyncpg connection or pool."""
    rows = await connection.fetch(query("feed"), after.epoch, str(after.transaction_id), after.position, limit)
    return [
        FeedEvent(
            cursor=Cursor(row["epoch"], int(row["xid"]), row["position"]),
            saga_id=row["workflow_id"],
            sequence=row["sequence_number"],
            type=row["event_type"],
            data=_data(row),
            at=row["at"],
            newer=is_newer(row["event_type"], row["schema_version"]),
        )
        for row in rows
    ]


def _data(row: Any) -> Mapping[str, Json]:
    """The data as today's version of the type has them; those of a newer one as they stand."""
    kind, version, data = row["event_type"], row["schema_version"], orjson.loads(row["event_data"])
    return data if is_newer(kind, version) else upcast(kind, version, data)

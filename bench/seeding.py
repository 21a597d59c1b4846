"""`python -m bench.seeding`: fills a database with sagas that have ended and sagas that wait, as after years of use.

The histories are those that the rules give: one of each kind is decided, and copied with other ids and other instants.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import BaseModel

from amends import Saga
from bench import sagas
from eventstore.arrays import columns_of, keys_of
from orchestrator.waits import move_of
from sagas.decide import decide
from sagas.inputs import Outcome, Start
from sagas.manifest import Manifest, Role
from sagas.ports import Move
from sagas.state import COMMAND_KINDS, State

BATCH = 5_000
ID = "01234567-89ab-7def-8123-456789abcdef"
BEGAN, PATIENCE = 1_000_000_000.0, 90 * 86_400.0
BEGAN_AT, ENDS_AT = "@began", "@ends"
LEASE_SECONDS = 4.0
COMPENSATED_OF = 10
"""One of so many was undone."""
SAGAS = ("saga_id", "version", "status", "state", "fingerprint", "definition", "key", "created_at", "updated_at")
EVENTS = ("workflow_id", "sequence_number", "event_type", "schema_version", "event_data", "created_at", "causation_id")
WAITS = ("saga_id", "opened_by", "kind", "step", "item", "attempt", "queue", "priority", "due_at", "since")


class Answer(BaseModel):
    """What an open saga waits for."""

    yes: bool


waiting = Saga("seeded_waiting", input=sagas.Payload)


@waiting.step("first")
async def first(request: sagas.Payload) -> sagas.Payload:
    """Do nothing."""
    return request


answered = waiting.wait("answered", model=Answer, timeout=PATIENCE, on_timeout="compensate", after=[first])


@dataclass(frozen=True)
class Template:
    """One history as lines of COPY, with marks for the id and the instants."""

    manifest: Manifest
    heads: str
    events: str
    waits: str
    count: int

    def copied(self, saga_id: str, at: float) -> tuple[str, str, str]:
        """The lines of another saga with this history."""
        shown, ends = (
            datetime.fromtimestamp(at, UTC).isoformat(),
            datetime.fromtimestamp(at + PATIENCE, UTC).isoformat(),
        )
        heads = self.heads.replace(repr(BEGAN + PATIENCE), repr(at + PATIENCE)).replace(repr(BEGAN), repr(at))
        heads, events = heads.replace(ID, saga_id), self.events.replace(ID, saga_id)
        waits = self.waits.replace(ID, saga_id).replace(ENDS_AT, ends)
        return heads.replace(BEGAN_AT, shown), events.replace(BEGAN_AT, shown), waits.replace(BEGAN_AT, shown)


@dataclass(frozen=True)
class Seeded:
    """What was written."""

    sagas: int
    events: int
    seconds: float


def template_of(saga: Saga[Any, Any]) -> Template:
    """The history of a saga whose steps answer at once, up to its end or to where it waits for somebody."""
    manifest = saga.seal().manifest
    given = {"text": "x" * 180}
    decision = decide(manifest, State(ID), Start(ID, manifest, given, key=ID), BEGAN)
    state, recorded = decision.state, decision.recorded
    while wait := next((one for one in state.waits.values() if one.kind in COMMAND_KINDS), None):
        role: Role = "undo" if wait.kind == "undo" else "step"
        fails = manifest.name == sagas.COMPENSATING and wait.step == "third"
        error = {"type": "Permanent", "code": "permanent", "message": "there is none left", "attempt": wait.attempt,
                 "retryable": False, "happened": False}  # fmt: skip
        word = Outcome(
            ID, wait.opened_by, wait.attempt, wait.step or "", None, role, "failed" if fails else "succeeded",
            result=None if fails else given, error=error if fails else None,
        )  # fmt: skip
        decision = decide(manifest, state, word, BEGAN)
        state, recorded = decision.state, recorded + decision.recorded
    return _rendered(manifest, move_of(manifest, State(ID), state, recorded, LEASE_SECONDS))


def _rendered(manifest: Manifest, move: Move) -> Template:
    columns = columns_of([move])
    _, _, version, status, state, fingerprint, _, _ = (column[0] for column in columns[:8])
    freed, key = columns[33][0], keys_of([move])[1][0]
    instants = {BEGAN: BEGAN_AT, BEGAN + PATIENCE: ENDS_AT}
    head = [ID, version, status, state, fingerprint, manifest.name, None if freed else key, BEGAN_AT, BEGAN_AT]
    events = [(*event[:5], BEGAN_AT, event[6]) for event in zip(*columns[8:17], strict=True)]
    waits = [(*wait[:8], instants[wait[8]], instants[wait[9]]) for wait in zip(*columns[19:30], strict=True)]
    return Template(manifest, _lines([head]), _lines(events), _lines(waits), len(events))


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    return "".join("\t".join(_cell(value) for value in row) + "\n" for row in rows)


def _cell(value: Any) -> str:
    if value is None:
        return "\\N"
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


async def seed(url: str, finished: int, waiting_sagas: int, age_days: float) -> Seeded:
    """Write so many sagas that ended over the last days, and so many that began in their last tenth and wait.

    It may be run again: it adds. What was written up to a crash stands, each batch in a commit of its own.

    Raises:
        OSError, asyncpg.PostgresError: the database cannot be reached, or lacks tables.
    """
    forward, undone, open_one = (template_of(saga) for saga in (sagas.forward, sagas.compensating, waiting))
    connection: Any = await asyncpg.connect(url)
    try:
        await _put_manifests(connection, [forward.manifest, undone.manifest, open_one.manifest])
        began, now = time.perf_counter(), time.time()
        done = [undone if number % COMPENSATED_OF == 0 else forward for number in range(finished)]
        span = age_days * 86_400
        events = await _copy(connection, done, now - span, span)
        events += await _copy(connection, [open_one] * waiting_sagas, now - span / 10, span / 10)
        await connection.execute("VACUUM (ANALYZE) amends.sagas, amends.workflow_events, amends.waits")
        return Seeded(finished + waiting_sagas, events, time.perf_counter() - began)
    finally:
        await connection.close()


async def _put_manifests(connection: Any, manifests: Sequence[Manifest]) -> None:
    await connection.executemany(
        "INSERT INTO amends.saga_definitions (fingerprint, definition, manifest, seen_at) "
        "VALUES ($1, $2, $3, '-infinity') ON CONFLICT DO NOTHING",
        [(one.fingerprint, one.name, one.to_json().decode()) for one in manifests],
    )


async def _copy(connection: Any, templates: Sequence[Template], since: float, span: float) -> int:
    """Write a saga for each template, evenly over the span; how many events that were."""
    chance = random.Random()  # noqa: S311 - ids that must differ, no secrets
    for first_of_batch in range(0, len(templates), BATCH):
        batch = templates[first_of_batch : first_of_batch + BATCH]
        lines: tuple[list[str], ...] = ([], [], [])
        for number, template in enumerate(batch, first_of_batch):
            at = round(since + span * number / len(templates), 3)
            for collected, text in zip(lines, template.copied(_id_at(at, chance), at), strict=True):
                collected.append(text)
        async with connection.transaction():
            for table, columns, rows in zip(("sagas", "workflow_events", "waits"), (SAGAS, EVENTS, WAITS), lines,
                                            strict=True):  # fmt: skip
                await connection.copy_to_table(
                    table, source=BytesIO("".join(rows).encode()), columns=columns, schema_name="amends"
                )
    return sum(template.count for template in templates)


def _id_at(at: float, chance: random.Random) -> str:
    """A UUIDv7 of an instant."""
    value = (int(at * 1000) << 80) | (0x7 << 76) | (chance.getrandbits(12) << 64) | (0b10 << 62)
    return str(UUID(int=value | chance.getrandbits(62)))


def main() -> None:
    """Fill a database, and say how long it took."""
    parser = argparse.ArgumentParser(prog="bench.seeding", description="sagas as after years of use")
    parser.add_argument("--database-url", required=True, help="of a migrated database; `amends migrate` makes one")
    parser.add_argument("--finished", type=int, default=1_000_000, help="sagas that have ended, of ten events or more")
    parser.add_argument("--open", type=int, default=100_000, help="sagas that wait for a signal")
    parser.add_argument("--days", type=float, default=60.0, help="over how many days they ended")
    asked = parser.parse_args()
    done = asyncio.run(seed(asked.database_url, asked.finished, asked.open, asked.days))
    sys.stdout.write(
        f"{done.sagas:,} sagas, {done.events:,} events in {done.seconds:.0f} s: "
        f"{done.events / done.seconds:,.0f} events a second\n"
    )


if __name__ == "__main__":
    main()

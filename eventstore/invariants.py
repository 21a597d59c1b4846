"""The promises, checked over all sagas (design section 11): in SQL where possible, else by folding the events."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from eventstore.reading import head_of, recorded
from eventstore.rows import frees_key
from sagas.evolve import IllegalEvent, evolve
from sagas.records import record
from sagas.state import COMMAND_KINDS, State, Wait, is_start_limit
from sagas.versions import what_it_needs

if TYPE_CHECKING:
    import asyncpg

BATCH = 500

QUERIES = {
    "every open saga has a wait": """
        SELECT saga_id::text AS saga_id, status AS detail FROM amends.sagas AS saga
        WHERE status IN ('active', 'compensating') AND NOT held AND NOT EXISTS (
            SELECT FROM amends.waits AS wait WHERE wait.saga_id = saga.saga_id AND wait.kind <> 'deadline')""",
    "one operator's wait for one thing": """
        SELECT saga_id::text AS saga_id, format('%s[%s]', step, item) AS detail FROM amends.waits
        WHERE kind = 'operator' GROUP BY saga_id, step, item HAVING count(*) > 1""",
    "a saga at rest has an operator's wait": """
        SELECT saga_id::text AS saga_id, status AS detail FROM amends.sagas AS saga
        WHERE status = 'failed' AND NOT closed AND NOT EXISTS (
            SELECT FROM amends.waits AS wait WHERE wait.saga_id = saga.saga_id AND wait.kind = 'operator')""",
    "a terminal saga waits for nothing that runs": """
        SELECT saga_id::text AS saga_id, kind AS detail
        FROM amends.waits AS wait JOIN amends.sagas AS saga USING (saga_id)
        WHERE saga.status IN ('completed', 'compensated') AND wait.kind NOT IN ('notify', 'operator')""",
    "sequence numbers have no gaps": """
        SELECT saga_id::text AS saga_id, format('%s events, version %s', count(event.position), version) AS detail
        FROM amends.sagas AS saga LEFT JOIN amends.workflow_events AS event ON event.workflow_id = saga.saga_id
        GROUP BY saga_id, version
        HAVING count(event.position) <> version OR max(event.sequence_number) <> version""",
    "every event belongs to a saga": """
        SELECT workflow_id::text AS saga_id, event_type AS detail FROM amends.workflow_events AS event
        WHERE NOT EXISTS (SELECT FROM amends.sagas AS saga WHERE saga.saga_id = event.workflow_id)""",
    "no two executions share an attempt": """
        SELECT workflow_id::text AS saga_id,
            format('%s attempt %s', event_data ->> 'step', event_data ->> 'attempt') AS detail
        FROM amends.workflow_events
        WHERE event_type IN ('StepScheduled', 'UndoScheduled', 'ProbeScheduled', 'FallbackScheduled')
        GROUP BY workflow_id, event_data ->> 'step', event_data ->> 'item', event_data ->> 'attempt'
        HAVING count(*) > 1""",
    "nothing runs after the end": """
        SELECT workflow_id::text AS saga_id, later.event_type AS detail
        FROM amends.workflow_events AS ended JOIN amends.workflow_events AS later USING (workflow_id)
        WHERE ended.event_type IN ('SagaCompleted', 'SagaCompensated')
            AND later.sequence_number > ended.sequence_number
            AND later.event_type IN ('StepScheduled', 'UndoScheduled', 'ProbeScheduled', 'FallbackScheduled',
                'StepSucceeded', 'StepUndone')
            AND NOT EXISTS (
                SELECT FROM amends.workflow_events AS reopened WHERE reopened.workflow_id = ended.workflow_id
                    AND reopened.event_type IN ('SagaReopened', 'SagaTurnedBack')
                    AND reopened.sequence_number > ended.sequence_number)""",
}


@record
class Violation:
    """A promise that is broken, by which saga, and how."""

    rule: str
    saga_id: str
    detail: str


@record
class Report:
    """What was checked, and what was found."""

    checked: int
    sagas: int
    violations: tuple[Violation, ...]


async def check(pool: "asyncpg.Pool[asyncpg.Record]") -> Report:
    """Check every promise on one snapshot, so that sagas may go on meanwhile."""
    violations: list[Violation] = []
    sagas = 0
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        for rule, query in QUERIES.items():
            rows = await connection.fetch(query)
            violations += [Violation(rule, row["saga_id"], str(row["detail"])) for row in rows]
        async for batch in _batches(connection):
            sagas += len(batch)
            violations += await _folded(connection, batch)
    return Report(len(QUERIES) + 5, sagas, tuple(violations))


async def _batches(connection: Any) -> AsyncGenerator[list[Any]]:
    last = "00000000-0000-0000-0000-000000000000"
    while True:
        rows = await connection.fetch(
            "SELECT saga_id::text, state::text, version, status, definition, fingerprint, key, held, closed "
            "FROM amends.sagas WHERE saga_id > $1 ORDER BY saga_id LIMIT $2",
            last,
            BATCH,
        )
        if not rows:
            return
        yield rows
        last = rows[-1]["saga_id"]


async def _folded(connection: Any, heads: Sequence[Any]) -> list[Violation]:
    """The head must be what its events fold to, and its waits, but for messages, those of the fold (rule A10)."""
    ids = [row["saga_id"] for row in heads]
    events = await connection.fetch(
        "SELECT workflow_id::text, sequence_number, event_type, schema_version, event_data::text, "
        "extract(epoch FROM created_at)::float8 AS at, causation_id, actor, trace_id "
        "FROM amends.workflow_events WHERE workflow_id = ANY($1::uuid[]) ORDER BY workflow_id, sequence_number",
        ids,
    )
    rows = await connection.fetch(
        "SELECT saga_id::text, opened_by, kind, attempt, step, item, "
        "CASE WHEN queue IS NULL AND (kind <> 'deadline' OR step IS NULL) "
        "THEN round(extract(epoch FROM due_at)) END::float8 AS due_at "
        "FROM amends.waits WHERE saga_id = ANY($1::uuid[]) AND kind <> 'notify' ORDER BY saga_id, opened_by",
        ids,
    )
    states = {row["saga_id"]: head_of(row) for row in heads}
    violations = [
        Violation("every saga can be read by this program", saga_id, what_it_needs(state.release))
        for saga_id, state in states.items()
        if state.newer
    ]
    heads = [row for row in heads if not states[row["saga_id"]].newer]
    folds = {saga_id: State(saga_id) for saga_id in ids}
    for row in events:
        saga_id = row["workflow_id"]
        if states[saga_id].newer:
            continue
        try:
            folds[saga_id] = evolve(folds[saga_id], recorded(row))
        except (IllegalEvent, KeyError, TypeError) as broken:
            violations.append(Violation("every event can be folded", saga_id, str(broken)))
    waits: dict[str, list[tuple[Any, ...]]] = {saga_id: [] for saga_id in ids}
    for row in rows:
        waits[row["saga_id"]].append(tuple(row)[1:])
    for head in heads:
        saga_id, fold = head["saga_id"], folds[head["saga_id"]]
        state = states[saga_id]
        if _shape(fold) != _shape(state):
            violations.append(Violation("the head is the fold of the events", saga_id, f"version {fold.version}"))
        key = None if frees_key(state) else state.key
        columns = (state.version, state.status, state.definition, state.fingerprint, key, state.held, state.closed)
        if tuple(head)[2:] != columns:
            detail = f"columns {tuple(head)[2:]}, state {columns}"
            violations.append(Violation("the columns are those of the head", saga_id, detail))
        expected = [_row(wait) for _, wait in sorted(fold.waits.items())]
        if not _alike(waits[saga_id], expected):
            violations.append(Violation("the waits are those of the fold", saga_id, f"{waits[saga_id]}, {expected}"))
    return violations


def _shape(state: State) -> object:
    """A head without instants, which events keep to the microsecond only."""
    steps = {key: replace(step, maybe_at=0.0) for key, step in state.steps.items()}
    waits = {opened_by: replace(wait, since=0.0, due_at=None) for opened_by, wait in state.waits.items()}
    return replace(state, started_at=0.0, ended_at=None, held_at=0.0, steps=steps, waits=waits, format=1)


def _row(wait: Wait) -> tuple[Any, ...]:
    checks = wait.kind in COMMAND_KINDS or is_start_limit(wait)  # rows of these are moved by what is found
    due_at = None if checks else inf if wait.due_at is None else wait.due_at
    return wait.opened_by, wait.kind, wait.attempt, wait.step, wait.item, due_at


def _alike(rows: Sequence[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]]) -> bool:
    """Whether rows are those that are expected; instants may differ by how they are rounded."""
    return [row[:-1] for row in rows] == [row[:-1] for row in expected] and all(
        (one is None) == (other is None) and (one is None or one == other or abs(one - other) <= 1)
        for one, other in zip((row[-1] for row in rows), (row[-1] for row in expected), strict=True)
    )

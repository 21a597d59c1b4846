"""The promises, checked over all sagas (design section 11): in SQL where possible, else by folding the events."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventstore.postgres import recorded
from sagas.evolve import IllegalEvent, evolve
from sagas.state import State

if TYPE_CHECKING:
    import asyncpg

BATCH = 500

QUERIES = {
    "every open saga has a wait": """
        SELECT saga_id::text AS saga_id, status AS detail FROM amends.sagas AS saga
        WHERE status IN ('active', 'compensating') AND NOT held
            AND NOT EXISTS (SELECT FROM amends.waits AS wait WHERE wait.saga_id = saga.saga_id)""",
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
                    AND reopened.event_type = 'SagaReopened' AND reopened.sequence_number > ended.sequence_number)""",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that is broken, by which saga, and how."""

    rule: str
    saga_id: str
    detail: str


@dataclass(frozen=True, slots=True)
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
    return Report(len(QUERIES) + 2, sagas, tuple(violations))


async def _batches(connection: Any) -> AsyncGenerator[list[Any]]:
    last = "00000000-0000-0000-0000-000000000000"
    while True:
        rows = await connection.fetch(
            "SELECT saga_id::text, state::text FROM amends.sagas WHERE saga_id > $1 ORDER BY saga_id LIMIT $2",
            last,
            BATCH,
        )
        if not rows:
            return
        yield rows
        last = rows[-1]["saga_id"]


async def _folded(connection: Any, heads: Sequence[Any]) -> list[Violation]:
    """The head must be what its events fold to, and its waits must be those of the fold (rule A10)."""
    ids = [row["saga_id"] for row in heads]
    events = await connection.fetch(
        "SELECT workflow_id::text, sequence_number, event_type, event_data::text, "
        "extract(epoch FROM created_at)::float8 AS at, causation_id, actor, trace_id "
        "FROM amends.workflow_events WHERE workflow_id = ANY($1::uuid[]) ORDER BY workflow_id, sequence_number",
        ids,
    )
    rows = await connection.fetch(
        "SELECT saga_id::text, opened_by, kind, attempt FROM amends.waits WHERE saga_id = ANY($1::uuid[])", ids
    )
    folds = {saga_id: State(saga_id) for saga_id in ids}
    violations: list[Violation] = []
    for row in events:
        saga_id = row["workflow_id"]
        try:
            folds[saga_id] = evolve(folds[saga_id], recorded(row))
        except (IllegalEvent, KeyError, TypeError) as broken:
            violations.append(Violation("every event can be folded", saga_id, str(broken)))
    waits: dict[str, set[tuple[int, str, int]]] = {saga_id: set() for saga_id in ids}
    for row in rows:
        waits[row["saga_id"]].add((row["opened_by"], row["kind"], row["attempt"]))
    for head in heads:
        saga_id, fold = head["saga_id"], folds[head["saga_id"]]
        if _shape(fold) != _shape(State.from_json(head["state"])):
            violations.append(Violation("the head is the fold of the events", saga_id, f"version {fold.version}"))
        expected = {(wait.opened_by, wait.kind, wait.attempt) for wait in fold.waits.values()}
        if waits[saga_id] != expected:
            detail = f"rows {sorted(waits[saga_id])}, fold {sorted(expected)}"
            violations.append(Violation("the waits are those of the fold", saga_id, detail))
    return violations


def _shape(state: State) -> object:
    """A head without instants, which events keep to the microsecond only."""
    steps = {key: (step.status, step.attempt, step.result, step.maybe) for key, step in state.steps.items()}
    waits = {(wait.opened_by, wait.kind, wait.step, wait.item) for wait in state.waits.values()}
    return state.version, state.status, state.fingerprint, state.key, state.input, dict(state.facts), steps, waits

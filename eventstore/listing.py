"""Lists of sagas: a filter as a statement that holds only what is asked for, so that its plan fits it."""

from typing import Any

from eventstore.queries import query
from sagas.listing import SagaFilter

CONDITIONS = {
    "definition": "definition = $",
    "status": "status = $",
    "key": "key = $",
    "key_prefix": "starts_with(key, $)",
    "waiting": "saga_id IN (SELECT wait.saga_id FROM amends.waits AS wait WHERE kind = $)",
    "after": "saga_id < $::uuid",
}
MAY_RUN = (
    "(status NOT IN ('completed', 'compensated') AND NOT closed OR status <> 'completed' "
    "AND saga_id IN (SELECT wait.saga_id FROM amends.waits AS wait WHERE kind = 'operator'))"
)
OPEN = " AND NOT closed AND status NOT IN ('completed', 'compensated')"


def statement_of(wanted: SagaFilter) -> tuple[str, list[Any]]:
    """The statement of a page, and its arguments."""
    arguments: list[Any] = [wanted.limit]
    conditions = [MAY_RUN] if wanted.may_run else []
    if wanted.held is not None:  # no argument: the index of held sagas is for those that are
        conditions.append(("held" if wanted.held else "NOT held") + OPEN)
    for name, condition in CONDITIONS.items():
        value = getattr(wanted, name)
        if value is not None:
            arguments.append(value)
            conditions.append(condition.replace("$", f"${len(arguments)}"))
    return query("sagas").replace("CONDITIONS", "\n    AND ".join(conditions) or "true"), arguments

"""What a round of one system gave, and the arithmetic of many rounds: pure functions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

FOREIGN_CORES_MAX = 0.1
"""A round during which others used more of a core than this is marked as noisy."""


@dataclass(frozen=True)
class Row:
    """One round. Times are in milliseconds, `foreign_cpu` in cores, counts for one saga each.

    CPU and rates are those of the measured seconds; counts are taken over all sagas of the round, once all have ended,
    and are None of a server that the system does not use. `statements` come from a round of their own, since to count
    them costs time; `events_per_second` are the events of each saga at the measured rate.
    """

    system: str
    workload: str
    window: int
    payload: int
    orchestrators: int
    workers: int
    round: int
    seconds: float
    sagas: int
    wrong: int
    sagas_per_second: float
    steps_per_second: float
    events_per_second: float | None
    p50_ms: float
    p95_ms: float
    p99_ms: float
    accepted_p50_ms: float | None
    accepted_p95_ms: float | None
    accepted_p99_ms: float | None
    cpu_ms_per_saga: float
    cpu_ms_by_role: Mapping[str, float]
    foreign_cpu: float
    noisy: bool
    yardstick_ms: float
    fsync_ms: float
    commits: float | None
    statements: float | None
    rows_written: float | None
    wal_syncs: float | None
    wal_bytes: float | None
    stored_bytes: float | None
    redis_commands: float | None
    redis_bytes: float | None

    def document(self) -> dict[str, Any]:
        """The row as JSON has it."""
        told = {name: _rounded(value) for name, value in asdict(self).items()}
        return {**told, "cpu_ms_by_role": {role: _rounded(ms) for role, ms in self.cpu_ms_by_role.items()}}


@dataclass(frozen=True)
class Spread:
    """A median with the least and the most."""

    middle: float
    least: float
    most: float


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; not a number where there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def spread(values: Iterable[float]) -> Spread:
    """The median of these values, with the least and the most."""
    found = list(values)
    return Spread(median(found), min(found), max(found))


def quiet(rows: Sequence[Row]) -> list[Row]:
    """The rounds that others did not disturb; all of them where each was disturbed."""
    return [row for row in rows if not row.noisy] or list(rows)


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, 4 if abs(value) < 10 else 2)

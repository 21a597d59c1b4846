"""Rows as tables in Markdown: pure functions."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.rows import FOREIGN_CORES_MAX, Row, quiet, spread
from bench.systems.system import System

OWN = "amends"
USUAL_BYTES = 180
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"
MAIN = "figures"
FIGURES: tuple[tuple[str, Callable[[Row], float | None]], ...] = (
    ("sagas/s", lambda row: row.sagas_per_second),
    ("p50 ms", lambda row: row.p50_ms),
    ("p95 ms", lambda row: row.p95_ms),
    ("p99 ms", lambda row: row.p99_ms),
    ("CPU ms/saga", lambda row: row.cpu_ms_per_saga),
)
COSTS: tuple[tuple[str, Callable[[Row], float | None]], ...] = (
    ("steps/s", lambda row: row.steps_per_second),
    ("events/s", lambda row: row.events_per_second),
    ("accepted p50 ms", lambda row: row.accepted_p50_ms),
    ("accepted p95 ms", lambda row: row.accepted_p95_ms),
    ("accepted p99 ms", lambda row: row.accepted_p99_ms),
    ("statements", lambda row: row.statements),
    ("transactions", lambda row: row.commits),
    ("WAL syncs", lambda row: row.wal_syncs),
    ("rows written", lambda row: row.rows_written),
    ("WAL bytes", lambda row: row.wal_bytes),
    ("bytes stored", lambda row: row.stored_bytes),
    ("Redis commands", lambda row: row.redis_commands),
    ("Redis bytes left", lambda row: row.redis_bytes),
)


def tables(rows: Sequence[Row]) -> str:
    """All tables: for each workload and window the figures, what a saga costs, and who used the processors."""
    parts: list[str] = []
    for title in dict.fromkeys(map(_title, rows)):
        mine = [row for row in rows if _title(row) == title]
        by_system = {
            name: [row for row in mine if row.system == name] for name in dict.fromkeys(r.system for r in mine)
        }
        parts += [f"### {title}", figures(by_system), costs(by_system), roles(by_system)]
    return "\n\n".join(parts)


def _title(row: Row) -> str:
    texts = "" if row.payload == USUAL_BYTES else f", texts of {row.payload:,} bytes"
    orchestrators = "" if row.orchestrators == 1 else f", {row.orchestrators} orchestrators"
    workers = "" if row.workers == 1 else f", {row.workers} workers"
    return f"{row.workload}, {row.window} in flight{texts}{orchestrators}{workers}"


def figures(by_system: Mapping[str, Sequence[Row]]) -> str:
    """The figures of each system, and how many times as many sagas a second Amends makes."""
    own = quiet(by_system[OWN]) if OWN in by_system else []
    lines: list[list[str]] = []
    for name, rows in by_system.items():
        chosen = quiet(rows)
        ratio = _ratio(own, chosen) if own and name != OWN else ""
        noisy = sum(row.noisy for row in rows)
        foreign = spread(row.foreign_cpu for row in rows)
        others = f"{foreign.middle:.2f}" + (f" ({noisy} of {len(rows)} noisy)" if noisy else "")
        wrong = sum(row.wrong for row in rows)
        otherwise = f" ({wrong} ENDED OTHERWISE)" if wrong else ""
        lines.append([name + otherwise, *(_said(pick, chosen) for _, pick in FIGURES), ratio, others])
    return _table(["system", *(title for title, _ in FIGURES), f"{OWN} against it", "cores of others"], lines)


def costs(by_system: Mapping[str, Sequence[Row]]) -> str:
    """What a saga costs the servers."""
    lines = [[name, *(_said(pick, quiet(rows)) for _, pick in COSTS)] for name, rows in by_system.items()]
    return _table(["for each saga", *(title for title, _ in COSTS)], lines)


def roles(by_system: Mapping[str, Sequence[Row]]) -> str:
    """CPU of each process, in milliseconds a saga."""
    lines: list[list[str]] = []
    for name, rows in by_system.items():
        chosen = quiet(rows)
        names = dict.fromkeys(role for row in chosen for role in row.cpu_ms_by_role)
        spent = {role: spread(row.cpu_ms_by_role.get(role, 0.0) for row in chosen).middle for role in names}
        lines.append([name, ", ".join(f"{role} {_number(ms)}" for role, ms in spent.items() if ms >= 0.0005)])
    return _table(["CPU ms/saga", "by process"], lines)


def conditions(machine: Mapping[str, str], versions: Mapping[str, str], rows: Sequence[Row], warm: float) -> str:
    """Where, of what and how it was measured."""
    lines = [[name, text] for name, text in machine.items()]
    lines.append(["versions", ", ".join(f"{name} {number}" for name, number in versions.items())])
    if rows:
        yardstick, fsync = spread(row.yardstick_ms for row in rows), spread(row.fsync_ms for row in rows)
        seconds = spread(row.seconds for row in rows).middle
        rounds = max(row.round for row in rows)
        lines += [
            ["rounds", f"{rounds} of {seconds:.0f} s each, after {warm:g} s or more to warm up"],
            ["yardstick", f"{yardstick.middle:.1f} ms ({yardstick.least:.1f} to {yardstick.most:.1f})"],
            ["fdatasync in rounds", f"{fsync.middle:.2f} ms ({fsync.least:.2f} to {fsync.most:.2f})"],
        ]
    return _table(["", ""], lines)


def kept(systems: Mapping[str, System]) -> str:
    """What each system keeps and what it does not."""
    titles = ["system", "processes", "survives a crash", "does not keep or do", "Redis file synced", "the end is heard"]
    abouts = {name: system.about for name, system in systems.items()}
    lines = [
        [name, one.processes, one.keeps, one.lacks, one.appendfsync or "-", one.ends] for name, one in abouts.items()
    ]
    return _table(titles, lines)


def put_into(document: str, generated: str, place: str = MAIN) -> str:
    """The document with what stands between the marks of a place replaced.

    Raises:
        ValueError: it lacks the marks.
    """
    begin, end = BEGIN.format(place), END.format(place)
    head, began, rest = document.partition(begin)
    _, ended, tail = rest.partition(end)
    if not began or not ended:
        raise ValueError(f"the document has no lines {begin} and {end}: add them where the figures belong")
    return f"{head}{begin}\n\n{generated}\n\n{end}{tail}"


def noise() -> str:
    """What a noisy round is."""
    return f"A round is noisy when others used more than {FOREIGN_CORES_MAX:g} of a core."


def _ratio(own: Sequence[Row], other: Sequence[Row]) -> str:
    mine, theirs = (spread(row.sagas_per_second for row in rows).middle for rows in (own, other))
    return f"{mine / theirs:.2f}x" if theirs else "-"


def _said(pick: Callable[[Row], float | None], rows: Iterable[Row]) -> str:
    values = [value for row in rows if (value := pick(row)) is not None]
    if not values:
        return "-"
    found = spread(values)
    middle = _number(found.middle)
    return middle if len(values) == 1 else f"{middle} ({_number(found.least)}–{_number(found.most)})"  # noqa: RUF001


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

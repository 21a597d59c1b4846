"""What `amends bench` says: a line for each round, then JSON or tables, and the document of the figures."""

import json
import sys
from pathlib import Path

from bench.command import Measured, Plan, run
from bench.rows import Row
from bench.systems import SYSTEMS
from bench.table import MAIN, conditions, kept, noise, put_into, tables


def bench(plan: Plan, *, as_json: bool, document: Path | None, place: str) -> int:
    """Measure and tell; the exit code.

    Raises:
        ValueError: the document has no place for figures. OSError: it cannot be read or written.
    """
    text = None if document is None else document.read_text("utf-8")
    if text is not None:
        put_into(text, "", place)  # before an hour is spent on it
    found = run(plan, lambda row: _say(line(row)))
    for name, lacks in found.absent.items():
        _say(f"{name} is absent: {lacks}")
    for failure in found.failed:
        _say(f"FAILED: {failure}")
    written = report(plan, found, place)
    if document is not None and text is not None:
        document.write_text(put_into(text, written, place), "utf-8")
    sys.stdout.write((json.dumps(found.document(), indent=2) if as_json else written) + "\n")
    return 1 if found.failed or any(row.wrong for row in found.rows) else 0


def report(plan: Plan, found: Measured, place: str = MAIN) -> str:
    """Everything in Markdown; what each system keeps is told among the figures alone."""
    named = {name: SYSTEMS[name] for name in plan.systems}
    absent = [f"`{name}` was not measured: {lacks}" for name, lacks in found.absent.items()]
    failed = [f"Failed: {failure.splitlines()[0]}" for failure in found.failed]
    parts = [conditions(found.machine, found.versions, found.rows, plan.warm_seconds), noise(), *absent, *failed,
             tables(found.rows)]  # fmt: skip
    parts += ["### What each keeps", kept(named)] if place == MAIN else []
    return "\n\n".join(parts)


def line(row: Row) -> str:
    """A round in a line."""
    roles = ", ".join(f"{role} {ms:.2f}" for role, ms in row.cpu_ms_by_role.items() if ms >= 0.005)
    noisy = " NOISY" if row.noisy else ""
    wrong = f", {row.wrong} ENDED OTHERWISE" if row.wrong else ""
    return (
        f"{row.system}, {row.workload}, window {row.window}, round {row.round}: {row.sagas_per_second:,.1f} sagas/s, "
        f"p50 {row.p50_ms:.1f} ms, p99 {row.p99_ms:.1f} ms, CPU {row.cpu_ms_per_saga:.2f} ms ({roles}), "
        f"others {row.foreign_cpu:.2f} cores{noisy}{wrong}"
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()

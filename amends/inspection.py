"""What `amends doctor` looks at: both servers, the migrations, and every promise."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amends.application import App
from consumers.wire import ping
from eventstore.invariants import Report, Violation, check
from eventstore.migrate import pending, read_migrations
from eventstore.postgres import PostgresStore, reachable
from eventstore.projections import Projection, differs, rebuild
from sagas.ports import StoreUnavailable, TransportUnavailable


@dataclass
class Inspection:
    """What was found: a line for each thing, and what the invariants say if they were asked."""

    database: str = "not set"
    redis: str = "not set"
    invariants: Report | None = None
    problems: list[str] = field(default_factory=list[str])

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and (self.invariants is None or not self.invariants.violations)

    @property
    def exit_code(self) -> int:
        """3 when a server is away, 1 when a promise is broken."""
        return 3 if self.problems else 1

    def lines(self) -> list[str]:
        """For people."""
        found = [f"database: {self.database}", f"redis: {self.redis}"]
        if self.invariants is not None:
            report = self.invariants
            found.append(
                f"invariants: {report.checked} checked on {report.sagas} sagas, {len(report.violations)} violated"
            )
            found += [f"  {entry.saga_id}: {entry.rule}: {entry.detail}" for entry in report.violations]
        return found

    def document(self) -> dict[str, Any]:
        """For machines."""
        found: dict[str, Any] = {"database": self.database, "redis": self.redis}
        if self.invariants is not None:
            violations = [
                {"rule": entry.rule, "sagaId": entry.saga_id, "detail": entry.detail}
                for entry in self.invariants.violations
            ]
            found["invariants"] = {
                "checked": self.invariants.checked, "sagas": self.invariants.sagas, "violations": violations
            }  # fmt: skip
        return found


async def inspect(
    database_url: str | None, redis_url: str | None, applications: Sequence[App], *, invariants: bool
) -> Inspection:
    """Look at everything that is set; with `invariants` also at every saga and projection."""
    found = Inspection()
    if database_url is not None:
        try:
            await _inspect_database(found, database_url, applications, invariants=invariants)
        except StoreUnavailable as away:
            found.database = f"away: {away}"
            found.problems.append(found.database)
    else:
        found.database = "not set: nothing runs here; run `amends up` in this folder, or set DATABASE_URL and REDIS_URL"
        found.problems.append(found.database)
    if redis_url is not None:
        try:
            found.redis = f"connected, {await ping(redis_url) * 1000:.1f} ms"
        except TransportUnavailable as away:
            found.redis = f"away: {away}"
            found.problems.append(found.redis)
    return found


async def refill(database_url: str | None, projection: Projection) -> None:
    """Empty a projection; the notifier fills it from the first event on.

    Raises:
        StoreUnavailable: no database is known, or it is away. NotMigratedError: it lacks tables.
    """
    if database_url is None:
        raise StoreUnavailable("none is known here: run `amends up` in this folder, or set DATABASE_URL")
    store = await PostgresStore.open(database_url, pool_size=1)
    try:
        async with reachable():
            await rebuild(store.pool, projection)
    finally:
        await store.close()


async def _inspect_database(
    found: Inspection, database_url: str, applications: Sequence[App], *, invariants: bool
) -> None:
    folders = {app.name: app.migrations for app in applications if app.migrations is not None}
    async with reachable():
        missing = await pending(database_url, folders)
    absent = {name for name, folder in folders.items() if _lacks_all(name, folder, missing)}
    applications = [app for app in applications if app.name not in absent]
    if missing := [name for name in missing if name.partition("/")[0] not in absent]:
        found.database = f"connected, but it lacks {', '.join(missing)}: run `amends migrate`"
        found.problems.append(found.database)
        return
    store = await PostgresStore.open(database_url, pool_size=2)
    try:
        found.database = "connected, migrated" + "".join(f"; {name} is not used here" for name in sorted(absent))
        if invariants:
            async with reachable():
                found.invariants = await _promises(store, [one for app in applications for one in app.projections])
    finally:
        await store.close()


def _lacks_all(application: str, folder: Path, missing: Sequence[str]) -> bool:
    """Whether nothing of an application was ever migrated: this database is for others."""
    names = {f"{application}/{migration.name}" for migration in read_migrations(folder)}
    return bool(names) and names.issubset(missing)


async def _promises(store: PostgresStore, projections: Sequence[Projection]) -> Report:
    report = await check(store.pool)
    broken = [
        Violation(
            "a projection is the fold of the events",
            projection.name,
            f"{difference}\n    remedy: `amends doctor --rebuild {projection.name}`",
        )
        for projection in projections
        if (difference := await differs(store.pool, projection)) is not None
    ]
    return Report(report.checked + len(projections), report.sagas, (*report.violations, *broken))

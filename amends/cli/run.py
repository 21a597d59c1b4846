"""Commands that run something: everything at once, one process, the migration, the demo, checks."""

import json
import logging
import os
import sys
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from amends.application import App
    from amends.settings import Settings
    from eventstore.projections import Projection

Sagas = Annotated[list[str] | None, typer.Option("--sagas", help="module[:attribute] with sagas; repeatable")]
AsJson = Annotated[bool, typer.Option("--json", help="for machines")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="port of the API; 0: a free one")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", file_okay=False, help="of a running `amends up`")]


def settings_with(**changes: object) -> "Settings":
    """The settings, with what the command line says put over them. What is set in vain is said on standard error."""
    from amends.settings import load, without_effect

    for line in without_effect():
        typer.echo(f"warning: {line}", err=True)
    return load().model_copy(update={name: value for name, value in changes.items() if value is not None})


def _named(sagas: list[str] | None) -> tuple[str, ...] | None:
    return None if sagas is None else tuple(sagas)


FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def configure_logging(settings: "Settings") -> None:
    """Log to standard error, one line each."""
    logging.basicConfig(level=settings.log_level, format=FORMAT, stream=sys.stderr, force=True)


def up(
    port: Port = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="worker processes")] = 1,
    orchestrators: Annotated[int, typer.Option(min=1, max=16, help="orchestrator processes")] = 1,
    data_dir: Annotated[Path | None, typer.Option(file_okay=False, help="where servers keep their data")] = None,
    sagas: Sagas = None,
) -> None:
    """Start everything: embedded servers unless DATABASE_URL and REDIS_URL name others, API, orchestrator, workers."""
    import asyncio

    from amends.up import Runtime, Up

    settings = settings_with(port=port, data_dir=data_dir, sagas=_named(sagas))
    configure_logging(settings)

    def announce(runtime: Runtime) -> None:
        typer.echo(f"Amends runs at {runtime.url}")
        typer.echo(f"  API key, URLs and processes: {settings.data_dir / 'runtime.json'}")
        typer.echo(f"  logs: {settings.data_dir / 'logs'}; Ctrl-C drains and ends it")

    asyncio.run(Up(settings, workers, orchestrators).run(announce))


def api(port: Port = None, sagas: Sagas = None) -> None:
    """Serve the HTTP API."""
    from amends.api.service import run_api

    settings = settings_with(port=port, sagas=_named(sagas))
    serve(run_api(settings), settings)


def orchestrator(sagas: Sagas = None) -> None:
    """Run an orchestrator; any number of them may run."""
    from amends.orchestrating import run_orchestrator

    settings = settings_with(sagas=_named(sagas))
    serve(run_orchestrator(settings), settings)


def worker(
    concurrency: Annotated[int | None, typer.Option(min=1, help="commands at once")] = None, sagas: Sagas = None
) -> None:
    """Run a worker; any number of them may run."""
    from amends.working import run_worker

    settings = settings_with(concurrency=concurrency, sagas=_named(sagas))
    serve(run_worker(settings), settings)


def migrate(sagas: Sagas = None) -> None:
    """Bring the database up to date: Amends' own tables, then those of each application."""
    import asyncio

    from amends.application import load_applications
    from amends.settings import SettingsError

    settings = settings_with(sagas=_named(sagas))
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL is needed: set it to the database that is to be migrated")
    folders = {app.name: app.migrations for app in load_applications(settings.sagas) if app.migrations is not None}
    for name in asyncio.run(_migrated(settings.database_url, folders)) or ["nothing to do"]:
        typer.echo(name)


async def _migrated(database_url: str, folders: Mapping[str, Path]) -> list[str]:
    from eventstore.migrate import migrate
    from eventstore.postgres import reachable

    async with reachable():
        return await migrate(database_url, folders)


def doctor(
    invariants: Annotated[bool, typer.Option("--invariants", help="check every saga's history and head")] = False,
    projection: Annotated[
        str | None, typer.Option("--rebuild", help="empty this projection; it is filled anew")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the settings and whether the servers answer; with --invariants, whether every promise is kept."""
    import asyncio

    from amends.application import load_applications
    from amends.cli.remote import runtime_of
    from amends.inspection import inspect, refill
    from amends.settings import read_settings, rows

    settings = settings_with(data_dir=data_dir)
    found = runtime_of(settings) or {}
    database_url = settings.database_url or found.get("database_url")
    redis_url = settings.redis or found.get("redis_url")
    applications = load_applications(settings.sagas)
    if projection is not None:
        asyncio.run(refill(database_url, _projection(applications, projection)))
        typer.echo(f"{projection} is empty; the notifier fills it from the first event on")
        return
    models = [app.settings for app in applications if app.settings is not None]
    shown = [*rows(settings), *(row for model in models for row in rows(read_settings(model)))]
    report = asyncio.run(inspect(database_url, redis_url, applications, invariants=invariants))
    if as_json:
        settings_shown = [dict(zip(("variable", "value", "source"), row[:3], strict=True)) for row in shown]
        typer.echo(json.dumps({"settings": settings_shown, **report.document()}, indent=2))
    else:
        for variable, value, source, _ in shown:
            typer.echo(f"{variable:<22} {value:<28} {source}")
        for line in report.lines():
            typer.echo(line)
    raise typer.Exit(0 if report.good else report.exit_code)


def _projection(applications: "Sequence[App]", name: str) -> "Projection":
    known = {one.name: one for app in applications for one in app.projections}
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise typer.BadParameter(f"there is no projection {name!r}; there are: {there}", param_hint="--rebuild")
    return known[name]


def demo(
    as_json: AsJson = False,
    keep: Annotated[bool, typer.Option("--keep", help="leave it running afterwards and print its address")] = False,
) -> None:
    """The whole story: upload, plan, approval, a killed worker, a failure that is undone in order."""
    from amends.demo import run_demo

    raise typer.Exit(run_demo(as_json=as_json, keep=keep))


def serve(work: Coroutine[Any, Any, None], settings: "Settings") -> None:
    """Run a service to its end."""
    from amends import loops

    configure_logging(settings)
    loops.run(work)
    if threading.active_count() > 1:  # a handler's thread that nothing can stop; what it did is told already
        logging.shutdown()
        os._exit(0)

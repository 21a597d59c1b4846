"""Commands of the processes that watch and tell: the reconciler, once or always, and the notifier."""

import json
from typing import Annotated

import typer

from amends.cli.remote import runtime_of
from amends.cli.run import AsJson, DataDir, Sagas, configure_logging, serve, settings_with


def reconciler(sagas: Sagas = None) -> None:
    """Run a reconciler: it ends waits that nobody ended. Any number may run; one is at work."""
    from amends.reconciling import run_reconciler

    settings = settings_with(sagas=tuple(sagas) if sagas else None)
    serve(run_reconciler(settings), settings)


def notifier(sagas: Sagas = None) -> None:
    """Run a notifier: it fills the projections. Any number may run."""
    from amends.notifying import run_notifier

    settings = settings_with(sagas=tuple(sagas) if sagas else None)
    serve(run_notifier(settings), settings)


def reconcile(
    once: Annotated[bool, typer.Option("--once", help="look once; there is no other way here")] = True,
    report_only: Annotated[bool, typer.Option("--report-only", help="say what is wrong and change nothing")] = False,
    sagas: Sagas = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Look once for what got stuck, and put it right; for cron. Exit code 1: something is wrong, or nobody looked."""
    import asyncio

    from amends.reconciling import reconcile

    del once
    settings = settings_with(sagas=tuple(sagas) if sagas else None, data_dir=data_dir)
    found = runtime_of(settings) or {}
    settings = settings.model_copy(
        update={
            "database_url": settings.database_url or found.get("database_url"),
            "redis_url": settings.redis or found.get("redis_url"),
        }
    )
    configure_logging(settings)
    report = asyncio.run(reconcile(settings, report_only=report_only))
    left = len(report.findings) - report.repaired
    if as_json:
        findings = [finding.document() for finding in report.findings]
        typer.echo(json.dumps({"findings": findings, "repaired": report.repaired, "busy": report.busy}, indent=2))
    else:
        for finding in report.findings:
            typer.echo(f"{finding.severity}: {finding.check}: saga {finding.saga_id}: {finding.what}")
            typer.echo(f"  {finding.proposal}")
        busy = "nobody looked: another reconciler is at work\n  remedy: ask again"
        typer.echo(busy if report.busy else f"{len(report.findings)} found, {report.repaired} put right")
    raise typer.Exit(1 if left or report.busy else 0)

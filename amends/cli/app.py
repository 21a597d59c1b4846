"""All commands, by their names."""

import typer

from amends.cli import (
    archiving,
    benchmarking,
    holding,
    keys,
    operators,
    proving,
    run,
    sagas,
    services,
    simulating,
    versions,
)

app = typer.Typer(
    name="amends",
    help="Processes that end well, or are undone in order.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run.up)
app.command()(run.demo)
app.command()(run.migrate)
app.command()(run.doctor)
app.command()(versions.check)
app.command("migrate-sagas")(versions.migrate_sagas)
app.command()(proving.prove)
app.command()(simulating.simulate)
app.command()(benchmarking.bench)
app.command()(run.api)
app.command()(run.orchestrator)
app.command()(run.worker)
app.command()(services.reconciler)
app.command()(services.notifier)
app.command()(services.reconcile)
app.command()(archiving.archive)
app.add_typer(sagas.app, name="saga", help="Start, list, show and describe sagas, and say how they go on.")
app.command()(sagas.explain)
operators.add_to(sagas.app)
holding.add_to(sagas.app)
app.add_typer(keys.app, name="keys", help="Create, list and revoke API keys.")

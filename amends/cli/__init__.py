"""The command line. Exit codes: 0 done, 1 the answer is no, 2 usage, 3 unavailable."""

import sys

import typer

from amends.cli import run, sagas

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
app.command()(run.check)
app.command()(run.api)
app.command()(run.orchestrator)
app.command()(run.worker)
app.add_typer(sagas.app, name="saga", help="Start, list, show, describe and cancel sagas.")
app.command()(sagas.explain)

NO, USAGE, UNAVAILABLE = 1, 2, 3
_CODES = {
    "DefinitionError": NO,
    "MigrationError": NO,
    "DemoError": NO,
    "RefusedError": NO,
    "InUseError": NO,
    "NoApplicationError": USAGE,
    "SettingsError": USAGE,
    "ListenError": UNAVAILABLE,
    "StoreUnavailable": UNAVAILABLE,
    "TransportUnavailable": UNAVAILABLE,
    "UnavailableError": UNAVAILABLE,
    "StartError": UNAVAILABLE,
    "EmbeddedError": UNAVAILABLE,
}
_REMEDIES = {
    "StoreUnavailable": "the database does not answer: {}\n  remedy: start it, or correct DATABASE_URL",
    "TransportUnavailable": "Redis does not answer: {}\n  remedy: start it, or correct REDIS_URL",
}


def main() -> None:
    """Run a command. What goes wrong in a way that we know is one message and an exit code, no traceback."""
    try:
        app()
    except Exception as error:
        code = _CODES.get(type(error).__name__)
        if code is None:
            raise
        sys.stderr.write(_REMEDIES.get(type(error).__name__, "{}").format(error) + "\n")
        sys.exit(code)

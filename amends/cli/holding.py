"""`amends saga hold|release`: one saga, or all that a filter finds."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.cli.asking import ask
from amends.cli.operators import Expected, Reason
from amends.cli.remote import call
from amends.cli.run import AsJson, DataDir, settings_with
from amends.cli.sagas import saga_id_in
from sagas.statuses import SagaStatus

if TYPE_CHECKING:
    from amends.settings import Settings

REFUSED_SHOWN_MAX = 10
OneSaga = Annotated[str | None, typer.Argument(metavar="[SAGA]", help="one saga; else name a filter")]
Definition = Annotated[str | None, typer.Option(help="all of this definition that are open")]
Status = Annotated[SagaStatus | None, typer.Option(help="all that stand so")]
KeyPrefix = Annotated[str | None, typer.Option("--key-prefix", help="all whose key begins so")]
Yes = Annotated[bool, typer.Option("--yes", help="do it; without, a filter only counts")]


def add_to(app: typer.Typer) -> None:
    """Make them commands."""
    _add(app, "hold", "held", "Begin nothing new for a saga, or for all that a filter finds, until it is released.")
    _add(app, "release", "released", "Let a held saga go on, or all held ones that a filter finds.")


def _add(app: typer.Typer, verb: str, past: str, what: str) -> None:
    @app.command(verb, help=what)
    def one_or_some(  # pyright: ignore[reportUnusedFunction] # it is a command
        reason: Reason, saga_id: OneSaga = None, definition: Definition = None, status: Status = None,
        key_prefix: KeyPrefix = None, yes: Yes = False, expect_version: Expected = None, data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:  # fmt: skip
        named = {"definition": definition, "status": status, "keyPrefix": key_prefix}
        chosen = {name: value for name, value in named.items() if value is not None}
        if (saga_id is None) == (not chosen):
            raise typer.BadParameter("name a SAGA, or a filter: --definition, --status, --key-prefix")
        if saga_id is not None:
            ask(saga_id_in(saga_id), verb, {"reason": reason}, expect_version, data_dir, as_json=as_json)
            return
        if expect_version is not None:
            raise typer.BadParameter("--expect-version is about one saga: name it")
        body = {"reason": reason, "dryRun": not yes, **chosen}
        _some(verb, past, settings_with(data_dir=data_dir), body, as_json=as_json)


def _some(verb: str, past: str, settings: "Settings", body: dict[str, Any], *, as_json: bool) -> None:
    """Ask page by page."""
    dry = body["dryRun"]
    matched, changed, refused = 0, 0, list[dict[str, str]]()
    while body.get("cursor", "") is not None:
        page = call(settings, "POST", f"/api/sagas/{verb}", body)
        matched, changed = matched + page["matched"], changed + page["changed"]
        refused += page["refused"]
        body["cursor"] = page["next"]
    if as_json:
        typer.echo(json.dumps({"matched": matched, "changed": changed, "refused": refused, "dryRun": dry}))
        return
    rest = f"; {len(refused)} refused:" if refused else ""
    typer.echo(f"would be {past}: {matched}; --yes does it" if dry else f"{past}: {changed}{rest}")
    for one in refused[:REFUSED_SHOWN_MAX]:
        typer.echo(f"  {one['sagaId']}: {one['detail']}")
    if len(refused) > REFUSED_SHOWN_MAX:
        typer.echo(f"  and {len(refused) - REFUSED_SHOWN_MAX} more")

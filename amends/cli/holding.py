"""`amends saga hold|release`: one saga, or all that a filter finds."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from amends.cli.asking import ask
from amends.cli.operators import Expected, Reason
from amends.cli.remote import call
from amends.cli.run import AsJson, DataDir, settings_with
from amends.cli.sagas import saga_id_in
from sagas.state import SagaStatus

REFUSED_SHOWN_MAX = 10
OneSaga = Annotated[str | None, typer.Argument(metavar="[SAGA]", help="one saga; else name a filter")]
Definition = Annotated[str | None, typer.Option(help="all of this definition that are open")]
Status = Annotated[SagaStatus | None, typer.Option(help="all that stand so")]
KeyPrefix = Annotated[str | None, typer.Option("--key-prefix", help="all whose key begins so")]
Yes = Annotated[bool, typer.Option("--yes", help="do it; without, a filter only counts")]


def add_to(app: typer.Typer) -> None:
    """Make them commands."""
    app.command()(hold)
    app.command()(release)


def hold(
    reason: Reason, saga_id: OneSaga = None, definition: Definition = None, status: Status = None,
    key_prefix: KeyPrefix = None, yes: Yes = False, expect_version: Expected = None, data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Begin nothing new for a saga, or for all that a filter finds, until it is released."""
    chosen = {"definition": definition, "status": status, "keyPrefix": key_prefix}
    _one_or_some("hold", reason, saga_id, chosen, expect_version, data_dir, yes=yes, as_json=as_json)


def release(
    reason: Reason, saga_id: OneSaga = None, definition: Definition = None, status: Status = None,
    key_prefix: KeyPrefix = None, yes: Yes = False, expect_version: Expected = None, data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Let a held saga go on, or all held ones that a filter finds."""
    chosen = {"definition": definition, "status": status, "keyPrefix": key_prefix}
    _one_or_some("release", reason, saga_id, chosen, expect_version, data_dir, yes=yes, as_json=as_json)


def _one_or_some(
    verb: str, reason: str, saga_id: str | None, chosen: dict[str, str | None], expected: int | None,
    data_dir: Path | None, *, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if (saga_id is None) == (not chosen):
        raise typer.BadParameter("name a SAGA, or a filter: --definition, --status, --key-prefix")
    if saga_id is not None:
        ask(saga_id_in(saga_id), verb, {"reason": reason}, expected, data_dir, as_json=as_json)
        return
    if expected is not None:
        raise typer.BadParameter("--expect-version is about one saga: name it")
    settings = settings_with(data_dir=data_dir)
    matched, changed, refused = 0, 0, list[dict[str, str]]()
    body: dict[str, Any] = {"reason": reason, "dryRun": not yes, **chosen}
    while body.get("cursor", "") is not None:
        page = call(settings, "POST", f"/api/sagas/{verb}", body)
        matched, changed = matched + page["matched"], changed + page["changed"]
        refused += page["refused"]
        body["cursor"] = page["next"]
    if as_json:
        typer.echo(json.dumps({"matched": matched, "changed": changed, "refused": refused, "dryRun": not yes}))
        return
    past = "held" if verb == "hold" else "released"
    rest = f"; {len(refused)} refused:" if refused else ""
    typer.echo(f"{past}: {changed}{rest}" if yes else f"would be {past}: {matched}; --yes does it")
    for one in refused[:REFUSED_SHOWN_MAX]:
        typer.echo(f"  {one['sagaId']}: {one['detail']}")
    if len(refused) > REFUSED_SHOWN_MAX:
        typer.echo(f"  and {len(refused) - REFUSED_SHOWN_MAX} more")

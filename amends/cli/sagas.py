"""`amends saga …` and `amends explain`: the API's verbs for people."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.cli.remote import call, runtime_of
from amends.cli.run import AsJson, DataDir, Sagas, settings_with
from amends.identifiers import is_id
from sagas.statuses import SagaStatus, WaitKind

if TYPE_CHECKING:
    from amends.settings import Settings

app = typer.Typer(no_args_is_help=True)


def saga_id_in(text: str) -> str:
    """A saga's id as it was typed.

    Raises:
        typer.BadParameter: it is none.
    """
    if not is_id(text.lower()):
        raise typer.BadParameter(f"{text!r} is no id; `amends saga list` shows them")
    return text.lower()


SagaId = Annotated[str, typer.Argument(help="the saga's id", callback=saga_id_in)]


@app.command("list")
def list_all(
    definition: Annotated[str | None, typer.Option(help="only sagas of this definition")] = None,
    status: Annotated[SagaStatus | None, typer.Option(help="only sagas that stand so")] = None,
    key_prefix: Annotated[str | None, typer.Option("--key-prefix", help="only sagas whose key begins so")] = None,
    waiting: Annotated[WaitKind | None, typer.Option(help="only with an open wait of this kind")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="where the last page says that the next one begins")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List sagas, newest first."""
    from urllib.parse import urlencode

    asked = {
        "definition": definition,
        "status": status,
        "keyPrefix": key_prefix,
        "waiting": waiting,
        "limit": limit,
        "cursor": cursor,
    }
    query = urlencode({name: value for name, value in asked.items() if value is not None}, errors="replace")
    found = call(settings_with(data_dir=data_dir), "GET", f"/api/sagas?{query}")
    rows = found["items"]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(f"{'ID':<36}  {'DEFINITION':<16}  {'KEY':<24}  {'STATUS':<13}  WAITS FOR")
    for row in rows:
        line = f"{row['sagaId']}  {row['definition']:<16}  {(row['key'] or ''):<24}  {row['status']:<13}  "
        typer.echo((line + (row["waitsFor"] or "")).rstrip())
    if found["next"] is not None:
        typer.echo(f"there are more: --cursor {found['next']}")


@app.command()
def show(saga_id: SagaId, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show a saga: its steps, its waits, its history."""
    from amends.cli.asking import remember

    settings = settings_with(data_dir=data_dir)
    found = call(settings, "GET", f"/api/sagas/{saga_id}")
    history = _history(settings, saga_id)
    remember(settings, saga_id, int(found["version"]))
    if as_json:
        typer.echo(json.dumps({**found, "history": history}, indent=2))
        return
    typer.echo(f"{found['definition']} {found['sagaId']}  {found['status']}  version {found['version']}")
    for step in found["steps"]:
        typer.echo(f"  {_name(step):<24} {step['status']:<12} attempt {step['attempt']}")
    for entry in history:
        typer.echo(f"  {entry['createdAt']}  {entry['sequenceNumber']:>4}  {entry['sentence']}")


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="the saga's name")],
    sagas: Sagas = None,
    as_json: AsJson = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="the graph, for Mermaid")] = False,
) -> None:
    """Describe a definition: who comes after whom, where the way back ends, what happens when something fails."""
    from amends.application import load_applications
    from sagas import describe as shown

    settings = settings_with(sagas=tuple(sagas) if sagas else None)
    found = {saga.name: saga for application in load_applications(settings.sagas) for saga in application.sagas}
    if name not in found:
        typer.echo(f"no saga is called '{name}'; there are: {', '.join(sorted(found))}", err=True)
        raise typer.Exit(1)
    sealed = found[name].seal(settings.defaults)
    if as_json:
        typer.echo(sealed.manifest.to_json().decode())
    elif mermaid:
        typer.echo(shown.mermaid(sealed.manifest))
    else:
        typer.echo(shown.describe(sealed, _open_sagas(settings, name)))


@app.command()
def start(
    definition: Annotated[str, typer.Argument(help="the saga's name")],
    input: Annotated[str, typer.Argument(help="its input, as JSON")],
    key: Annotated[str | None, typer.Option(help="unique for this definition; the same key is the same saga")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Start a saga."""
    try:
        value: Any = json.loads(input)
    except (ValueError, RecursionError) as malformed:
        raise typer.BadParameter(f"the input is no JSON that can be read: {malformed}") from None
    body = {"definition": definition, "input": value, **({"key": key} if key is not None else {})}
    found = call(settings_with(data_dir=data_dir), "POST", "/api/sagas", body)
    line = f"{found['sagaId']} {'started' if found['created'] else 'was known by its key'}, {found['status']}"
    typer.echo(json.dumps(found) if as_json else line)


def explain(saga_id: SagaId, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Say why a saga is where it is: what it waits for, since when, and what ends the wait."""
    from amends.cli.asking import lines_of

    lines, _ = lines_of(settings_with(data_dir=data_dir), saga_id)
    typer.echo(json.dumps({"sagaId": saga_id, "lines": lines}) if as_json else "\n".join(lines))


def _open_sagas(settings: "Settings", definition: str) -> int | None:
    """How many sagas of a definition have not ended, where a database is known and answers."""
    import asyncio

    from eventstore.census import open_sagas

    url = settings.database_url or (runtime_of(settings) or {}).get("database_url")
    return None if url is None else asyncio.run(open_sagas(url, definition))


def _history(settings: "Settings", saga_id: str) -> list[dict[str, Any]]:
    """All events of a saga, page by page."""
    items: list[dict[str, Any]] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = call(settings, "GET", f"/api/sagas/{saga_id}/events?limit=1000&cursor={cursor}")
        items += page["items"]
        cursor = page["next"]
    return items


def _name(step: dict[str, Any]) -> str:
    return str(step["step"]) if step["item"] is None else f"{step['step']}[{step['item']}]"

"""`amends check` and `amends migrate-sagas`: before and after a definition changes while its sagas run."""

import getpass
import json
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from amends.cli.remote import UnavailableError, runtime_of
from amends.cli.run import AsJson, DataDir, settings_with

if TYPE_CHECKING:
    from amends.moving import Verdict
    from amends.serving import Outlook
    from amends.settings import Settings
    from sagas.seal import Sealed

SHOWN = 20


def check(
    modules: Annotated[list[str], typer.Argument(help="module[:attribute] with sagas")],
    against: Annotated[
        str | None, typer.Option("--against", help="URL of a database: can these definitions serve its open sagas?")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check sagas without running anything: names, types, graph. Belongs in CI; needs no database.

    With --against, also whether the sagas that are open there find all they need in these definitions. Exit code 1:
    some do not. Name every module that will be deployed.
    """
    import asyncio

    from sagas.describe import warnings
    from sagas.seal import unsupported

    sealed, named = _sealed(modules)
    found: list[dict[str, Any]] = [
        {
            "saga": manifest.name,
            "steps": len(manifest.nodes),
            "fingerprint": manifest.fingerprint,
            "warnings": list(warnings(manifest)),
            "notRunYet": list(unsupported(manifest)),
        }
        for manifest in (sealed[name].manifest for name in named)
    ]
    outlook = None if against is None else asyncio.run(_look_ahead(against, sealed))
    if as_json:
        unserved = None if outlook is None else [entry.document() for entry in outlook.unserved]
        ahead = None if outlook is None else {"open": outlook.open, "unserved": unserved}
        typer.echo(json.dumps(found if ahead is None else {"sagas": found, "against": ahead}, indent=2))
    else:
        for entry in found:
            typer.echo(f"{entry['saga']}: {entry['steps']} steps, fingerprint {entry['fingerprint'][:6]}: good")
            for line in entry["warnings"]:
                typer.echo(f"  warning: {line}")
            for line in entry["notRunYet"]:
                typer.echo(f"  this version does not run it yet: {line}")
        for line in [] if outlook is None else _lines(outlook):
            typer.echo(line)
    raise typer.Exit(1 if outlook is not None and outlook.unserved else 0)


def migrate_sagas(
    definition: Annotated[str, typer.Argument(help="the saga's name")],
    to: Annotated[str, typer.Option("--to", help="module[:saga] with the new version")],
    reason: Annotated[str, typer.Option(help="why; it is kept with each saga")],
    from_version: Annotated[
        str | None, typer.Option("--from-version", help="only sagas of this version: its fingerprint, or how it begins")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="move them")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would move; that is the default")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move open sagas to a new version of their definition, by an event each. Without --yes, only look.

    Exit code 1: some stay where they are.
    """
    import asyncio

    if yes and dry_run:
        raise typer.BadParameter("say --yes, or --dry-run", param_hint="--yes")
    if not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")
    sealed, _ = _sealed([to])
    if definition not in sealed:
        known = ", ".join(sorted(sealed))
        raise typer.BadParameter(f"{to} declares no saga {definition!r}; it has: {known}", param_hint="--to")
    settings = settings_with(data_dir=data_dir)
    found = runtime_of(settings) or {}
    settings = settings.model_copy(
        update={
            "database_url": settings.database_url or found.get("database_url"),
            "redis_url": settings.redis or found.get("redis_url"),
        }
    )
    verdicts = asyncio.run(_move(settings, sealed[definition], reason, from_version, act=yes))
    _show(definition, sealed[definition].manifest.fingerprint, verdicts, yes=yes, as_json=as_json)
    raise typer.Exit(0 if all(verdict.moves for verdict in verdicts) else 1)


def _lines(outlook: "Outlook") -> list[str]:
    if not outlook.unserved:
        return [f"{outlook.open} sagas are open there: all find what they need"]
    lost = {saga_id for entry in outlook.unserved for saga_id in entry.sagas}
    told = [line for entry in outlook.unserved for line in entry.lines()]
    return [*told, f"{len(lost)} of {outlook.open} open sagas could not be served"]


def _sealed(modules: list[str]) -> tuple[dict[str, "Sealed"], list[str]]:
    """The sagas that modules hold and their families, by name; and the names of those that stand in the modules."""
    from amends.application import load_applications
    from amends.settings import load

    defaults = load().defaults
    sagas = [saga for application in load_applications(modules) for saga in application.sagas]
    family = {one.name: one.seal(defaults) for saga in sagas for one in saga.family()}
    return family, [saga.name for saga in sagas]


async def _look_ahead(url: str, sealed: dict[str, "Sealed"]) -> "Outlook":
    from amends.serving import look_ahead
    from eventstore.postgres import PostgresStore

    store = await PostgresStore.open_to_read(url)
    try:
        return await look_ahead(store, sealed)
    finally:
        await store.close()


async def _move(
    settings: "Settings", types: "Sealed", reason: str, from_version: str | None, *, act: bool
) -> list["Verdict"]:
    from amends.clock import LoopClock
    from amends.moving import Ask, move_open
    from amends.settings import load
    from amends.wiring import core
    from eventstore.postgres import PostgresStore
    from orchestrator.engine import Engine

    ask = Ask(reason, f"migrate/{uuid4()}", getpass.getuser(), from_version)
    if act:
        async with core(settings, "migrate-sagas") as made, made.publisher.running():
            for one in types.saga.family():
                await made.store.put_absent_manifest(one.seal(load().defaults).manifest)
            pages = [page async for page in move_open(made.store, made.engine, types, ask, act=True)]
    else:
        store = await PostgresStore.open(_database_of(settings), pool_size=1)
        try:
            pages = [page async for page in move_open(store, Engine(store, LoopClock()), types, ask, act=False)]
        finally:
            await store.close()
    return [verdict for page in pages for verdict in page]


def _database_of(settings: "Settings") -> str:
    if settings.database_url is None:
        raise UnavailableError(
            "no database is known here\n  remedy: run `amends up` in this folder, or set DATABASE_URL"
        )
    return settings.database_url


def _show(name: str, target: str, verdicts: list["Verdict"], *, yes: bool, as_json: bool) -> None:
    moved = [verdict for verdict in verdicts if verdict.moves]
    stay = [verdict for verdict in verdicts if not verdict.moves]
    if as_json:
        rows = [
            {"sagaId": one.saga_id, "from": one.fingerprint, "status": one.status, "moves": one.moves, "why": one.why}
            for one in verdicts
        ]
        typer.echo(json.dumps({"definition": name, "to": target, "moved": yes, "sagas": rows}, indent=2))
        return
    verb = "moved" if yes else "would move"
    typer.echo(f"{name} to version {target[:6]}: {len(moved)} {verb}, {len(stay)} stay")
    for (version, why), ids in _by_reason([*moved, *stay]).items():
        some = ", ".join(ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
        typer.echo(f"  {len(ids)} of version {version[:6]} " + (f"stay: {why}" if why else "move") + f"\n    {some}")
    if moved and not yes:
        typer.echo("nothing was done; with --yes they are moved")


def _by_reason(verdicts: list["Verdict"]) -> dict[tuple[str, str | None], list[str]]:
    found: dict[tuple[str, str | None], list[str]] = {}
    for verdict in verdicts:
        found.setdefault((verdict.fingerprint, verdict.why), []).append(verdict.saga_id)
    return found

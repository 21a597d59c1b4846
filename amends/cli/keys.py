"""`amends keys …`: who may call the API. These commands talk to the database, not to the API."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from amends.cli.remote import RefusedError, UnavailableError, runtime_of
from amends.cli.run import AsJson, DataDir, settings_with
from eventstore.key_roles import Role
from sagas.storable import unstorable

if TYPE_CHECKING:
    from amends.settings import Settings
    from eventstore.keys import KeyRow, Keys

T = TypeVar("T")
NAME_CHARACTERS_MAX = 200
RESERVED = frozenset({"root"})
"""Names under which something else than a key is recorded: the key of the settings."""

app = typer.Typer(no_args_is_help=True)


def _fitting(name: str) -> str:
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or not name.isprintable() or unstorable(name):
        raise typer.BadParameter(f"it has 1 to {NAME_CHARACTERS_MAX} printable characters")
    if name.strip().casefold() in RESERVED:
        raise typer.BadParameter(f"{name!r} is the name of a caller that has no such key; take another")
    return name


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="whose key it is; what this caller does is recorded under it",
                                        callback=_fitting)],
    role: Annotated[Role, typer.Option(help="viewer: reads; producer: starts too; operator: everything")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Create a key, and print it. It is never shown again: only its hash is kept."""
    shown = _with_keys(settings_with(data_dir=data_dir), lambda keys: _create(keys, name, role))
    if as_json:
        typer.echo(json.dumps({"key": shown, "prefix": shown.split("_")[1], "name": name, "role": role}))
    else:
        typer.echo(shown)
        typer.echo(f"the {role} key of '{name}'; it is not shown again", err=True)


async def _create(keys: "Keys", name: str, role: Role) -> str:
    """A key whose name tells it from every other that opens something.

    Raises:
        RefusedError: the name is taken.
    """
    if any(row.name == name and row.revoked_at is None for row in await keys.list()):
        raise RefusedError(
            f"NAME: there is a key {name[:60]!r}\n  remedy: take another name, or revoke that key first: "
            "`amends keys list` shows its prefix"
        )
    return await keys.create(name, role)


@app.command("list")
def list_all(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the keys, also those that were revoked, oldest first."""
    rows = _with_keys(settings_with(data_dir=data_dir), lambda keys: keys.list())
    if as_json:
        typer.echo(json.dumps([_document(row) for row in rows], indent=2))
        return
    typer.echo(f"{'PREFIX':<12}  {'ROLE':<8}  {'CREATED':<24}  {'REVOKED':<24}  NAME")
    for row in rows:
        revoked = _instant(row.revoked_at) or ""
        typer.echo(f"{row.prefix:<12}  {row.role:<8}  {_instant(row.created_at):<24}  {revoked:<24}  {row.name}")


@app.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="of the key, as `amends keys list` shows it")],
    data_dir: DataDir = None,
) -> None:
    """Revoke a key: within five seconds it opens nothing any more. Exit code 1: there is no such key."""
    known = not unstorable(prefix) and _with_keys(settings_with(data_dir=data_dir), lambda keys: keys.revoke(prefix))
    if not known:
        raise RefusedError(
            f"PREFIX: there is no key {prefix[:60]!r} that opens anything\n  remedy: `amends keys list` shows the keys"
        )
    typer.echo(f"{prefix} is revoked")


def _with_keys(settings: "Settings", work: "Callable[[Keys], Awaitable[T]]") -> T:
    """Do something with the keys of the database that is set, or of what runs here.

    Raises:
        UnavailableError: no database is known. StoreUnavailable: it is away.
    """
    import asyncio

    from eventstore.keys import Keys
    from eventstore.postgres import PostgresStore

    database_url = settings.database_url or (runtime_of(settings) or {}).get("database_url")
    if database_url is None:
        raise UnavailableError(
            "no database is known here\n  remedy: run `amends up` in this folder, or set DATABASE_URL"
        )

    async def done() -> T:
        store = await PostgresStore.open(database_url, pool_size=1)
        try:
            return await work(Keys(store.pool))
        finally:
            await store.close()

    return asyncio.run(done())


def _document(row: "KeyRow") -> dict[str, str | None]:
    return {
        "prefix": row.prefix,
        "name": row.name,
        "role": row.role,
        "createdAt": _instant(row.created_at),
        "revokedAt": _instant(row.revoked_at),
    }


def _instant(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

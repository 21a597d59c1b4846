"""`amends archive`: what ended long ago goes into files."""

import json
import re
from typing import Annotated

import typer

from amends.cli.remote import UnavailableError, runtime_of
from amends.cli.run import AsJson, DataDir, Sagas, settings_with
from sagas.durations import readable

DAY = 86_400
LENGTH = re.compile(r"([1-9][0-9]{0,4})d")


def days_in(text: str) -> float:
    """A length such as `30d`, in seconds.

    Raises:
        typer.BadParameter: it is none.
    """
    match = LENGTH.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text[:40]!r} is no number of days: give one such as 30d")
    return float(int(match[1]) * DAY)


def archive(
    older_than: Annotated[str, typer.Option("--older-than", help="archive what ended so long ago: 30d")] = "400d",
    sagas: Sagas = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move sagas that ended long ago into compressed files, where `saga show` and the API still find them.

    Safe to kill and to run again, and beside everything that runs.
    """
    import asyncio

    from amends.application import load_applications
    from amends.archiving import Archiver

    seconds = days_in(older_than)
    settings = settings_with(data_dir=data_dir, sagas=tuple(sagas) if sagas else None)
    url = settings.database_url or (runtime_of(settings) or {}).get("database_url")
    if url is None:
        raise UnavailableError(
            "no database is known here\n  remedy: run `amends up` in this folder, or set DATABASE_URL"
        )
    projections = [one for application in load_applications(settings.sagas) for one in application.projections]

    def tell(line: str) -> None:
        typer.echo(line, err=as_json)

    done = asyncio.run(Archiver(url, settings.archive, seconds, projections, tell).run())
    if as_json:
        document = {"sagas": done.sagas, "events": done.events, "files": done.files, "bytes": done.size,
                    "payloads": done.payloads, "messages": done.messages, "stayed": dict(done.stayed)}  # fmt: skip
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(
        f"{done.sagas:,} sagas older than {readable(seconds)} are in {len(done.files)} files ({done.size:,} bytes); "
        f"{done.events:,} events, {done.payloads:,} large values and {done.messages:,} messages left the database"
    )
    for why, count in sorted(done.stayed.items()):
        typer.echo(f"  {count:,} stay: {why}")

"""How the verbs of operators ask: of the version that was seen, which a terminal is told of when the saga has moved."""

import json
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from amends.cli.remote import MovedError, RefusedError, call
from amends.cli.run import settings_with
from amends.explanation import children_of, explain

if TYPE_CHECKING:
    from amends.settings import Settings

SHOWN_MAX = 200
FAMILY_MAX = 50
LATEST_EVENTS = 50


def ask(
    saga_id: str, verb: str, body: dict[str, Any], expected: int | None, data_dir: Path | None, *, as_json: bool,
    looks: bool = False,
) -> None:  # fmt: skip
    """Ask something of a saga, and say what came of it.

    With `looks` it is asked of the version that stands there now, unless another is expected; where that is not the one
    that was shown in this folder, or the saga moves meanwhile, a terminal is shown how it stands, and asked first.
    """
    settings = settings_with(data_dir=data_dir)
    seen = expected
    if looks and expected is None:
        seen = _look(settings, saga_id)
    while True:
        headers = {} if seen is None else {"If-Match": f'"{seen}"'}
        try:
            found = call(settings, "POST", f"/api/sagas/{saga_id}/{verb}", body, headers)
            break
        except MovedError:
            if expected is not None or not sys.stdin.isatty():
                raise
            seen = _show_and_ask(settings, saga_id, seen)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(_came_of_it(settings, saga_id, verb, found))


def lines_of(settings: "Settings", saga_id: str) -> tuple[list[str], int]:
    """What `explain` says of a saga and its family, and the version that it says it of; it is remembered as shown."""
    found = call(settings, "GET", f"/api/sagas/{saga_id}")
    began = datetime.fromisoformat(found["createdAt"]).timestamp()
    remember(settings, saga_id, found["version"])
    return explain(found, time.time(), began, _family(settings, found)), int(found["version"])


def remember(settings: "Settings", saga_id: str, version: int) -> None:
    """Keep which version of a saga was shown here, where `amends up` has its folder."""
    path = settings.data_dir / "shown.json"
    if not settings.data_dir.is_dir():
        return
    shown = {**_shown(settings), saga_id: version}
    with suppress(OSError):
        path.write_text(json.dumps(dict(list(shown.items())[-SHOWN_MAX:])), "utf-8")


def _shown(settings: "Settings") -> dict[str, Any]:
    with suppress(OSError, ValueError, RecursionError):
        found: Any = json.loads((settings.data_dir / "shown.json").read_text("utf-8"))
        if isinstance(found, dict):
            return found  # pyright: ignore[reportUnknownVariableType] # whatever was written
    return {}


def _look(settings: "Settings", saga_id: str) -> int:
    """The version of a saga; a terminal that was shown another one sees how it stands, and is asked."""
    before = _shown(settings).get(saga_id)
    version = int(call(settings, "GET", f"/api/sagas/{saga_id}")["version"])
    if before in (None, version) or not sys.stdin.isatty():
        return version
    return _show_and_ask(settings, saga_id, before)


def _show_and_ask(settings: "Settings", saga_id: str, before: int | None) -> int:
    """The version of a saga that a terminal has seen and agreed to."""
    lines, version = lines_of(settings, saga_id)
    typer.echo("\n".join([f"it has moved since you looked, from version {before} to {version}:", *lines]), err=True)
    typer.confirm("go on?", abort=True, err=True)
    return version


def _family(settings: "Settings", found: dict[str, Any]) -> dict[str, Any]:
    """The children that a saga waits for, and theirs; one that has not been started yet is absent."""
    views: dict[str, Any] = {}
    left = children_of(found)
    while left and len(views) < FAMILY_MAX:
        child = left.pop()
        with suppress(RefusedError):
            views[child] = call(settings, "GET", f"/api/sagas/{child}")
            left += [one for one in children_of(views[child]) if one not in views]
    return views


def _came_of_it(settings: "Settings", saga_id: str, verb: str, found: dict[str, Any]) -> str:
    held = ", held" if found["held"] else ""
    cursor = max(int(found["version"]) - LATEST_EVENTS, 0)
    page = call(settings, "GET", f"/api/sagas/{saga_id}/events?cursor={cursor}")["items"]
    kind = verb.partition("s/")[0]
    mine = [entry for entry in page if str(entry["causationId"]).startswith(f"{kind}/")]
    firsts = [entry for entry in mine if entry["causationId"] == mine[-1]["causationId"]]
    if not firsts:
        return f"{found['sagaId']} is {found['status']}{held}, at version {found['version']}"
    first = firsts[0]
    return f"{first['type']} by {first['actor']} at version {first['sequenceNumber']}; {found['status']}{held}"

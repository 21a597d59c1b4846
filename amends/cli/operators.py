"""`amends saga signal|hold|release|retry|correct|resolve`: what operators do with a saga that waits for them."""

import json
from typing import Annotated, Any

import typer

from amends.cli.remote import call
from amends.cli.run import AsJson, DataDir, settings_with
from amends.cli.sagas import SagaId
from sagas.events import Resolution

Reason = Annotated[str, typer.Option(help="why; it is kept")]
StepName = Annotated[str, typer.Argument(metavar="STEP", help="the step; one of its items as STEP/ITEM")]
Expected = Annotated[
    int | None, typer.Option("--expect-version", help="refuse when the saga has moved since it was at this version")
]


def add_to(app: typer.Typer) -> None:
    """Make them commands."""
    for command in (signal, cancel, hold, release, retry, correct, resolve):
        app.command()(command)


def cancel(
    saga_id: SagaId, reason: Reason, expect_version: Expected = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Turn a saga back: what it did is undone."""
    _ask(saga_id, "cancel", {"reason": reason}, expect_version, data_dir, as_json=as_json)


def hold(
    saga_id: SagaId, reason: Reason, expect_version: Expected = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Begin nothing new for a saga until it is released."""
    _ask(saga_id, "hold", {"reason": reason}, expect_version, data_dir, as_json=as_json)


def release(
    saga_id: SagaId, reason: Reason, expect_version: Expected = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Let a held saga go on."""
    _ask(saga_id, "release", {"reason": reason}, expect_version, data_dir, as_json=as_json)


def retry(
    saga_id: SagaId,
    step: StepName,
    reason: Reason,
    expect_version: Expected = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Try a step, or its undo, again: one that waits for an operator, or for its delay."""
    _ask(saga_id, "retry", {"reason": reason, **_place(step)}, expect_version, data_dir, as_json=as_json)


def correct(
    saga_id: SagaId,
    value: Annotated[str, typer.Argument(help="what is right, as JSON")],
    reason: Reason,
    step: Annotated[str | None, typer.Option(help="the step whose result it is; without, it is the input")] = None,
    expect_version: Expected = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Replace a step's result, or the input, by what is right."""
    body = {"reason": reason, "value": _json(value, "value"), **(_place(step) if step is not None else {})}
    _ask(saga_id, "correct", body, expect_version, data_dir, as_json=as_json)


def resolve(
    saga_id: SagaId,
    outcome: Annotated[Resolution, typer.Argument(help="what is true")],
    reason: Reason,
    step: Annotated[str | None, typer.Option(help="the step; `accept`, which closes the saga, takes none")] = None,
    result: Annotated[str, typer.Option(help="what it gave, as JSON, if it happened")] = "null",
    expect_version: Expected = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what is true of a step that the saga does not know, or close a saga at rest."""
    body = {"reason": reason, "outcome": outcome, "result": _json(result, "result")}
    body |= _place(step) if step is not None else {}
    _ask(saga_id, "resolve", body, expect_version, data_dir, as_json=as_json)


def signal(
    saga_id: SagaId,
    name: Annotated[str, typer.Argument(help="the wait's name")],
    value: Annotated[str, typer.Argument(help="what is sent, as JSON")],
    expect_version: Expected = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Send something that a saga waits for, or will."""
    from urllib.parse import quote

    verb = f"signals/{quote(name, safe='')}"
    _ask(saga_id, verb, {"value": _json(value, "value")}, expect_version, data_dir, as_json=as_json)


def _ask(saga_id: str, verb: str, body: dict[str, Any], expected: int | None, data_dir: Any, *, as_json: bool) -> None:
    headers = {} if expected is None else {"If-Match": f'"{expected}"'}
    found = call(settings_with(data_dir=data_dir), "POST", f"/api/sagas/{saga_id}/{verb}", body, headers)
    _show(found, as_json=as_json)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    held = ", held" if found["held"] else ""
    line = f"{found['sagaId']} is {found['status']}{held}, at version {found['version']}"
    typer.echo(json.dumps(found) if as_json else line)


def _place(text: str) -> dict[str, Any]:
    step, _, item = text.partition("/")
    if not item:
        return {"step": step}
    if not item.isascii() or not item.isdigit():
        raise typer.BadParameter(f"{text!r}: an item is a number, from 0: {step}/0")
    return {"step": step, "item": int(item)}


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as malformed:
        raise typer.BadParameter(f"the {what} is no JSON that can be read: {malformed}") from None

"""`amends saga signal|cancel|retry|correct|resolve`: what operators do with a saga that waits for them."""

import json
import re
from typing import Annotated, Any

import typer

from amends.cli.asking import ask
from amends.cli.run import AsJson, DataDir
from amends.cli.sagas import SagaId

Reason = Annotated[str, typer.Option(help="why; it is kept")]
StepName = Annotated[str, typer.Argument(metavar="STEP[/ITEM]", help="the step; its undo is STEP:undo")]
Expected = Annotated[
    int | None, typer.Option("--expect-version", help="refuse when the saga has moved since it was at this version")
]
PLACE = re.compile(r"(?P<step>[^/:]+)(?:/(?P<item>[0-9]{1,5}))?(?P<undo>:undo)?")
INPUT = "input"


def add_to(app: typer.Typer) -> None:
    """Make them commands."""
    for command in (signal, cancel, retry, correct, resolve):
        app.command()(command)


def cancel(
    saga_id: SagaId, reason: Reason, expect_version: Expected = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Turn a saga back: what it did is undone."""
    ask(saga_id, "cancel", {"reason": reason}, expect_version, data_dir, as_json=as_json)


def retry(
    saga_id: SagaId,
    step: StepName,
    reason: Reason,
    expect_version: Expected = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Try a step, or its undo, again: one that waits for an operator, or for its delay."""
    ask(saga_id, "retry", {"reason": reason, **_place(step)}, expect_version, data_dir, as_json=as_json, looks=True)


def correct(
    saga_id: SagaId,
    step: Annotated[str, typer.Argument(metavar="STEP[/ITEM]|input", help="the step whose result it is, or `input`")],
    value: Annotated[str, typer.Argument(metavar="JSON", help="what is right")],
    reason: Reason,
    expect_version: Expected = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Replace a step's result, or the input, by what is right."""
    place = {} if step == INPUT else _place(step)
    if "undo" in place:
        raise typer.BadParameter(f"{step!r}: an undo gives nothing; name the step")
    body = {"reason": reason, "value": _json(value, "value"), **place}
    ask(saga_id, "correct", body, expect_version, data_dir, as_json=as_json, looks=True)


def resolve(
    saga_id: SagaId,
    reason: Reason,
    step: Annotated[str | None, typer.Argument(metavar="[STEP[/ITEM]]", help="the step; none for --accept")] = None,
    happened: Annotated[str | None, typer.Option(metavar="JSON", help="it happened, and this is what it gave")] = None,
    did_not_happen: Annotated[bool, typer.Option("--did-not-happen", help="it did not, and never will")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="behind the pivot: go on without it")] = False,
    undone: Annotated[bool, typer.Option("--undone", help="you have undone by hand what STEP:undo could not")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="what is left may stay: the saga is closed")] = False,
    expect_version: Expected = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what is true of a step that the saga does not know, or close a saga at rest."""
    said = {"happened": happened is not None, "did_not_happen": did_not_happen, "skip": skip, "undone": undone,
            "accept": accept}  # fmt: skip
    outcomes = [outcome for outcome, is_said in said.items() if is_said]
    if len(outcomes) != 1:
        raise typer.BadParameter("say one of --happened JSON, --did-not-happen, --skip, --undone, --accept")
    if (step is None) != accept:
        raise typer.BadParameter("`--accept` closes the saga: leave STEP out" if accept else "name the STEP")
    place = {} if step is None else _place(step)
    if place.pop("undo", False) and not undone:
        raise typer.BadParameter(f"{step!r}: an undo that you did is --undone; `amends saga retry` tries it again")
    body = {"reason": reason, "outcome": outcomes[0], **place}
    if happened is not None:
        body["result"] = _json(happened, "result")
    ask(saga_id, "resolve", body, expect_version, data_dir, as_json=as_json, looks=True)


def signal(
    saga_id: SagaId,
    name: Annotated[str, typer.Argument(help="the wait's name")],
    value: Annotated[str, typer.Argument(metavar="JSON", help="what is sent")],
    expect_version: Expected = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Send something that a saga waits for, or will."""
    from urllib.parse import quote

    verb = f"signals/{quote(name, safe='')}"
    ask(saga_id, verb, {"value": _json(value, "value")}, expect_version, data_dir, as_json=as_json)


def _place(text: str) -> dict[str, Any]:
    found = PLACE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r}: name a step, its item as STEP/0 (a number, from 0), its undo as STEP:undo")
    item = {} if found["item"] is None else {"item": int(found["item"])}
    return {"step": found["step"], **item, **({"undo": True} if found["undo"] else {})}


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as malformed:
        raise typer.BadParameter(f"the {what} is no JSON that can be read: {malformed}") from None

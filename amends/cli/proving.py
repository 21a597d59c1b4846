"""`amends prove`: every way through a saga, walked with the rules that run it."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.cli.run import AsJson

if TYPE_CHECKING:
    from sagas.prove import Proof

STATES_MAX = 200_000


def prove(
    modules: Annotated[list[str], typer.Argument(help="module[:attribute] with sagas")],
    states: Annotated[int, typer.Option(min=1, help="give up when there are more states than this")] = STATES_MAX,
    as_json: AsJson = False,
) -> None:
    """Walk every way through sagas: each must end, or wait for an operator. Exit code 1: it does not, or is too much.

    At each point a command succeeds, fails for good, or nobody knows; an undo gives up; a wait is answered or not; a
    child completes or not; once on a way somebody cancels, and once a worker that was given up speaks late.
    """
    from amends.application import load_applications
    from sagas import prove as proving

    found = [
        proving.prove(saga.seal().manifest, states)
        for application in load_applications(modules)
        for saga in application.sagas
    ]
    if as_json:
        typer.echo(json.dumps([_document(proof) for proof in found], indent=2))
    else:
        for proof in found:
            typer.echo("\n".join(_lines(proof)))
    raise typer.Exit(0 if all(proof.good for proof in found) else 1)


def _document(proof: "Proof") -> dict[str, Any]:
    holes = [{"what": hole.what, "way": list(hole.way)} for hole in proof.holes]
    return {
        "saga": proof.saga, "good": proof.good, "complete": proof.complete, "states": proof.states,
        "choices": proof.choices, "ends": dict(proof.ends), "windows": list(proof.windows), "holes": holes,
    }  # fmt: skip


def _lines(proof: "Proof") -> list[str]:
    walked = "not every way ends" if proof.complete else "too many states to be proved"
    told = "every way ends" if proof.good else walked
    lines = [f"{proof.saga}: {told} ({proof.states:,} states, {proof.choices:,} choices)"]
    lines += [f"  {count:>6} times {ending}" for ending, count in proof.ends.items()]
    lines += [f"  nothing is undone {window}" for window in proof.windows]
    for hole in proof.holes:
        lines.append(f"  HOLE: {hole.what}")
        lines += [f"    {place}. {choice}" for place, choice in enumerate(hole.way, 1)]
    return lines

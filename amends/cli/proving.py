"""`amends prove`: every way through a saga, walked with the rules that run it."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.cli.run import AsJson

if TYPE_CHECKING:
    from sagas.definition import Saga
    from sagas.prove import Proof

STATES_MAX = 200_000
TOLD = {
    "undo_failed": "the undo gave up",
    "late_effect": "a worker that was given up did it after all",
    "pivot_unknown": "nobody knows whether the pivot happened",
    "outcome_unknown": "nobody knows whether it happened, and there is no way back",
    "step_failed": "it failed for good, and there is no way back",
    "child_rests": "its child rests until one decides there",
}


def prove(
    modules: Annotated[list[str], typer.Argument(help="module[:saga] with sagas")],
    states: Annotated[int, typer.Option(min=1, help="give up when there are more states than this")] = STATES_MAX,
    every_order: Annotated[
        bool, typer.Option("--every-order", help="walk every order, with next to no reductions: slow, to check them")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Walk every way through sagas: each must end, or wait for an operator. Exit code 1: it does not, or is too much.

    At each point a command succeeds, fails for good, or nobody knows; an undo gives up; a wait is answered or not; a
    child completes or not; the deadline passes; somebody cancels; a worker that was given up speaks late.
    """
    from amends.application import load_applications

    proofs: dict[str, Proof] = {}
    for application in load_applications(modules):
        for saga in application.sagas:
            _prove(saga, proofs, states, reduced=not every_order)
    found = list(proofs.values())
    if as_json:
        typer.echo(json.dumps([_document(proof) for proof in found], indent=2))
    else:
        for proof in found:
            typer.echo("\n".join(_lines(proof)))
        for reduction in found[0].reductions if found else ():
            typer.echo(f"reduced: {reduction}")
    raise typer.Exit(0 if all(proof.good for proof in found) else 1)


def _prove(saga: "Saga[Any, Any]", proofs: "dict[str, Proof]", states: int, *, reduced: bool) -> None:
    """Prove a saga after its children, each once."""
    from sagas.prove import prove as walk

    for one in reversed(saga.family()):
        if one.name not in proofs:
            proofs[one.name] = walk(one.seal().manifest, states, reduced=reduced, children=proofs)


def _document(proof: "Proof") -> dict[str, Any]:
    holes = [{"what": hole.what, "way": list(hole.way)} for hole in proof.holes]
    return {
        "saga": proof.saga, "good": proof.good, "complete": proof.complete, "states": proof.states,
        "choices": proof.choices, "ends": list(proof.ends),
        "operator": [{"cause": cause, "steps": list(steps)} for cause, steps in proof.asked.items()],
        "windows": list(proof.windows), "holes": holes, "reductions": list(proof.reductions),
    }  # fmt: skip


def _lines(proof: "Proof") -> list[str]:
    told = "every way ends" if proof.good else "HOLES" if proof.holes else "too many states to be proved"
    lines = [f"{proof.saga}: {told} ({proof.states:,} states, {proof.choices:,} choices)"]
    lines += [f"  ends {' or '.join(proof.ends)}"] if proof.ends else []
    lines += ["  never completes"] if proof.complete and "completed" not in proof.ends else []
    for cause, steps in proof.asked.items():
        lines.append(f"  or asks an operator: {TOLD.get(cause, cause)} ({cause}: {', '.join(steps)})")
    lines += [f"  nothing is undone {window}" for window in proof.windows]
    for hole in proof.holes:
        lines.append(f"  HOLE: {hole.what}")
        lines += [f"    {place}. {choice}" for place, choice in enumerate(hole.way, 1)]
    return lines

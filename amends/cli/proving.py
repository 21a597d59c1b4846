"""`amends prove`: every way through a saga, walked with the rules that run it."""

import gc
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.cli.run import AsJson

if TYPE_CHECKING:
    from sagas.definition import Saga
    from sagas.prove import Hole, Proof

STATES_MAX = 200_000
TOLD = {
    "undo_failed": "an undo gave up",
    "late_effect": "a worker that was given up did its step after all",
    "pivot_unknown": "nobody knows whether the pivot happened",
    "outcome_unknown": "nobody knows whether a step behind the pivot happened",
    "step_failed": "a step behind the pivot failed for good",
    "child_rests": "a child rests until an operator decides there",
}
ENDS = {"failed": "failed, where it rests until an operator decides"}
REMEDIES = {
    "it can go on for ever, and nobody is told: the undo": (
        "let the undo give up, by a Retry without forever: then an operator is asked"
    ),
    "it can go on": "let it give up, by a Retry without forever; before the pivot a deadline will do as well",
    "no way completes": "give the saga a longer deadline, or pause for less",
    "'": "mend the child; what it tries for ever before its pivot is ended by a deadline of this saga as well",
}
SO_ON = "… and so on"
NO_REMEDY = "none in the saga: this is a mistake of the rules that run it, please report it"


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

    sagas = [saga for application in load_applications(modules) for saga in application.sagas]
    found = _proofs(sagas, states, reduced=not every_order)
    if as_json:
        typer.echo(json.dumps([_document(proof) for proof in found], indent=2))
    else:
        for proof in found:
            typer.echo("\n".join(_lines(proof)))
        if found:
            typer.echo("walked once for many (docs/decisions/0020 says why nothing is lost by it):")
        for reduction in found[0].reductions if found else ():
            typer.echo(f"  {reduction}")
    raise typer.Exit(0 if all(proof.good for proof in found) else 1)


def _proofs(sagas: "Sequence[Saga[Any, Any]]", states: int, *, reduced: bool) -> "list[Proof]":
    """The proofs of sagas and of their children, each once, after those that it starts.

    What only the deadline of a parent ends is a hole of a saga that is named itself: anybody may start it alone.
    """
    from sagas.prove import prove as walk
    from sagas.records import replace

    family = list(dict.fromkeys(one for saga in sagas for one in reversed(saga.family())))
    manifests = {one.name: one.seal().manifest for one in family}
    started = {node.child for manifest in manifests.values() for node in manifest.nodes if node.step_class == "child"}
    proofs: dict[str, Proof] = {}
    gc.disable()  # states are in no circles: looking for some takes a quarter of the time
    try:
        for name, manifest in manifests.items():
            proofs[name] = walk(manifest, states, reduced=reduced, children=proofs, started=name in started)
    finally:
        gc.enable()
    alone = {saga.name for saga in sagas}
    return [
        replace(one, holes=(*one.holes, *one.above), above=()) if one.saga in alone else one for one in proofs.values()
    ]


def _document(proof: "Proof") -> dict[str, Any]:
    def holes(found: "Sequence[Hole]") -> list[dict[str, Any]]:
        return [{"what": hole.what, "way": list(hole.way)} for hole in found]

    return {
        "saga": proof.saga, "good": proof.good, "complete": proof.complete, "states": proof.states,
        "choices": proof.choices, "ends": list(proof.ends),
        "operator": [{"cause": cause, "steps": list(steps)} for cause, steps in proof.asked.items()],
        "windows": list(proof.windows), "holes": holes(proof.holes), "above": holes(proof.above),
        "reductions": list(proof.reductions),
    }  # fmt: skip


def _lines(proof: "Proof") -> Iterator[str]:
    told = "every way ends" if proof.good else "HOLES" if proof.holes else "too many states to be proved (see --states)"
    within = ", if the saga that starts it has a deadline" if proof.good and proof.above else ""
    yield f"{proof.saga}: {told}{within} ({proof.states:,} states, {proof.choices:,} choices)"
    for hole in proof.holes:
        yield f"  HOLE: {hole.what}"
        yield from (f"    {place}. {choice}" for place, choice in enumerate(hole.way, 1) if choice != SO_ON)
        yield from (f"    {choice}" for choice in hole.way if choice == SO_ON)
        yield f"    remedy: {next((it for kind, it in REMEDIES.items() if hole.what.startswith(kind)), NO_REMEDY)}"
    yield from (f"  only that deadline ends this: {hole.what}" for hole in proof.above)
    if proof.ends:
        ends = [ENDS.get(end, end) for end in proof.ends]
        yield f"  ends {' or '.join(part for part in (', '.join(ends[:-1]), ends[-1]) if part)}"
    if proof.complete and "completed" not in proof.ends:
        yield "  never completes"
    for cause, steps in proof.asked.items():
        yield f"  asks an operator when {TOLD.get(cause, cause)} ({cause}): {', '.join(steps)}"
    yield from (f"  cannot be undone: {window}" for window in proof.windows)

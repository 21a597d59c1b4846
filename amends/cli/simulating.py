"""`amends simulate`: whole systems of production code on virtual time, under faults that seeds draw."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.cli.run import AsJson

if TYPE_CHECKING:
    from amends.testing.simulator.batch import Summary
    from amends.testing.simulator.system import Result


def simulate(
    seed: Annotated[int | None, typer.Option(help="run this seed alone")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="run so many seeds")] = 100,
    first: Annotated[int, typer.Option(help="the first of them")] = 0,
    module: Annotated[list[str] | None, typer.Option(help="module[:attribute] with sagas; else random ones")] = None,
    script: Annotated[Path | None, typer.Option(exists=True, help="run a script that was saved")] = None,
    save: Annotated[Path | None, typer.Option(help="keep the smallest script that fails here")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="processes at once; as many as there are cores")] = None,
    as_json: AsJson = False,
) -> None:
    """Run sagas under crashes, lost answers, flushes and restarts, and check what must hold. Exit code 1: it does not.

    So it is when many runs have never tried what they promise: a kind of fault had no effect, a marker was not reached.

    A run that fails is shrunk to the fewest faults, requests and sagas, and printed as a timeline.
    """
    from amends.testing.simulator import batch, system
    from amends.testing.simulator.script import Script

    kept = Script.from_json(script.read_bytes()) if script is not None else None
    modules = list(kept.modules) if kept is not None else module or []
    sagas = batch.sagas_of(modules)
    try:
        batch.check_inputs(sagas)
    except batch.NoExample as none:
        typer.echo(str(none), err=True)
        raise typer.Exit(2) from None
    if kept is not None or seed is not None:
        found = batch.run_seed(seed or 0, sagas) if kept is None else system.simulate(kept, sagas)
        _tell_one(found, sagas, modules, save, as_json=as_json)
        raise typer.Exit(1 if found.failed else 0)
    total, told = batch.Summary(), 0
    for total in batch.run_seeds(modules, range(first, first + seeds), jobs or batch.cores()):
        for number, what in total.failed[told:]:
            typer.echo(f"seed {number} fails: {what}", err=True)
        told = len(total.failed)
        if not as_json and total.seeds % 500 == 0:
            typer.echo(f"{total.seeds:,} seeds, {len(total.failed)} failed", err=True)
    missed = total.missed()
    if as_json:
        typer.echo(json.dumps(_document(total, missed), indent=2))
    else:
        typer.echo("\n".join(_lines(total, missed)))
    if total.failed:
        _tell_one(batch.run_seed(total.failed[0][0], sagas), sagas, modules, save, as_json=as_json)
    raise typer.Exit(1 if total.failed or missed else 0)


def _tell_one(found: "Result", sagas: Any, modules: list[str], save: Path | None, *, as_json: bool) -> None:
    from amends.testing.simulator import batch

    if not found.failed:
        ends = ", ".join(f"{count} {ending}" for ending, count in sorted(found.endings.items()))
        typer.echo(f"seed {found.script.seed}: all holds ({ends}; trace {found.digest})", err=as_json)
        if found.idle:
            typer.echo(f"  faults that had no effect: {_counted(found.idle)}", err=as_json)
        return
    small, runs = batch.shrunk(found, sagas)
    if save is not None:
        save.write_bytes(replace(small.script, modules=tuple(modules)).to_json())
    told = [
        f"seed {found.script.seed}: {found.violations[0]}",
        f"  the smallest script that fails has {small.script.length} of {found.script.length} parts ({runs} runs):",
        *(f"  {line}" for line in small.trace.timeline()),
    ]
    named = "".join(f" --module {module}" for module in modules)
    told.append(f"  again: amends simulate --seed {found.script.seed}{named}")
    if save is not None:
        told.append(f"  kept: amends simulate --script {save}")
    typer.echo("\n".join(told), err=as_json)


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(kind if count == 1 else f"{kind} ({count})" for kind, count in sorted(kinds.items()))


def _document(total: "Summary", missed: list[str]) -> dict[str, Any]:
    return {
        "seeds": total.seeds, "sagas": total.sagas, "seconds": round(total.seconds, 1),
        "seedsPerSecondAndCore": round(total.seeds / max(total.cpu_seconds, 0.001), 1),
        "virtualHours": round(total.virtual_seconds / 3600, 1), "endings": dict(total.endings),
        "fired": dict(total.fired), "idle": dict(total.idle), "reached": dict(total.reached), "missed": missed,
        "failed": [{"seed": seed, "what": what} for seed, what in total.failed],
    }  # fmt: skip


def _lines(total: "Summary", missed: list[str]) -> list[str]:
    from amends.testing.simulator.promises import ENOUGH_SEEDS

    rate = total.seeds / max(total.cpu_seconds, 0.001)
    ends = ", ".join(f"{count:,} {ending}" for ending, count in total.endings.most_common())
    chosen = total.fired + total.idle
    markers = sorted({*total.reached, *total.promised}, key=lambda marker: (-total.reached[marker], marker))
    lines = [
        f"{total.seeds:,} seeds, {total.sagas:,} sagas, {total.virtual_seconds / 3600:.1f} virtual hours in "
        f"{total.seconds:.0f} s ({rate:.1f} seeds a second and core)",
        f"  sagas: {ends}",
        "  faults that had an effect, of those that were chosen:",
        *(f"    {total.fired[kind]:>8,} of {count:,} {kind}" for kind, count in chosen.most_common()),
        "  reached, in so many runs:",
        *(f"    {total.reached[marker]:>8,} {marker}" for marker in markers),
    ]
    if total.seeds < ENOUGH_SEEDS:
        lines.append(f"  whether all is tried that is promised shows from {ENOUGH_SEEDS} seeds on")
    lines += [f"  NEVER TRIED: {what}" for what in missed]
    lines += [f"  FAILED: seed {seed}: {what}" for seed, what in total.failed[:20]]
    return lines

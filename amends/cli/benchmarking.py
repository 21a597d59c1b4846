"""`amends bench`: sagas a second of Amends, of other systems, and the floor of the machine."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from amends.cli.run import AsJson


def bench(
    systems: Annotated[str | None, typer.Option(help="by comma; bullmq stands for both of its kinds")] = None,
    workload: Annotated[
        str, typer.Option(help="forward, compensating, branches-1, -10, -100 (Amends alone); by comma")
    ] = "forward",
    window: Annotated[str, typer.Option(help="sagas in flight, by comma")] = "200",
    payload: Annotated[str, typer.Option(help="bytes of text that go through each saga, by comma")] = "180",
    rounds: Annotated[int, typer.Option(min=1, help="in each, every system is measured once")] = 3,
    seconds: Annotated[float, typer.Option(min=0.5, help="that are measured in a round")] = 10.0,
    warm: Annotated[float, typer.Option(min=0.0, help="seconds before; at least until a window has ended")] = 3.0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="worker processes of Amends and BullMQ")] = 1,
    orchestrators: Annotated[str, typer.Option(help="orchestrator processes of Amends, by comma")] = "1",
    statements: Annotated[
        bool, typer.Option("--statements", help="count SQL statements in a round of their own")
    ] = False,
    finished: Annotated[int, typer.Option(min=1, help="sagas that the database of amends-aged has had")] = 1_000_000,
    waiting: Annotated[int, typer.Option(min=0, help="sagas that wait there")] = 100_000,
    peers: Annotated[Path, typer.Option(file_okay=False, help="where `make peers` put them")] = Path(".bench"),
    document: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="put the tables into this document")
    ] = None,
    place: Annotated[
        str, typer.Option(help="where there: between <!-- PLACE: begin --> and <!-- PLACE: end -->")
    ] = "figures",
    as_json: AsJson = False,
) -> None:
    """Measure with real processes on servers of its own. Exit code 1: a system failed, or a saga ended otherwise.

    Systems that are not installed are named and left out.
    """
    telling: Any = import_module("bench.telling")
    options: Any = import_module("bench.options")
    try:
        plan = options.plan_of(
            systems, workload, window, payload, orchestrators, rounds=rounds, seconds=seconds, warm_seconds=warm,
            workers=workers, statements=statements, finished=finished, waiting=waiting,
            peers=peers,
        )  # fmt: skip
        code: int = telling.bench(plan, as_json=as_json, document=document, place=place)
    except (ValueError, OSError) as unfit:
        raise typer.BadParameter(str(unfit)) from None
    raise typer.Exit(code)

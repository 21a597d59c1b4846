"""What is asked for on the command line, and how clients are driven."""

import asyncio
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from amends.cli.app import app
from bench.command import Plan
from bench.options import plan_of
from bench.programs.closed_loop import ClosedLoop
from bench.sagas import WORKLOADS
from bench.systems import SYSTEMS
from bench.systems.packages import lacks_node, lacks_python
from bench.systems.system import Round

OTHERS: dict[str, Any] = {
    "rounds": 1, "seconds": 1.0, "warm_seconds": 0.0, "workers": 1,
    "statements": False, "finished": 1, "waiting": 1, "peers": Path("nowhere"),
}  # fmt: skip


def plan(
    systems: str | None = None,
    workload: str = "forward",
    window: str = "200",
    payload: str = "180",
    orchestrators: str = "1",
) -> Plan:
    return plan_of(systems, workload, window, payload, orchestrators, **OTHERS)


def test_bullmq_stands_for_both_of_its_kinds_and_nothing_for_all() -> None:
    assert plan("amends,bullmq,amends").systems == ["amends", "bullmq-always", "bullmq-everysec"]
    assert plan().systems == [name for name in SYSTEMS if name != "amends-aged"]
    assert plan(window="1, 200").windows == [1, 200]
    assert plan(payload="180,1024").payloads == [180, 1024]
    assert plan(orchestrators="1,2").orchestrators == [1, 2]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"systems": "amends,celary"}, "'celary' is unknown; there are: amends,"),
        ({"workload": "backward"}, "'backward' is unknown; there are: forward, compensating, branches-1"),
        ({"window": "0"}, "'0' is no number from 1 to 10000"),
        ({"window": "many"}, "'many' is no number"),
        ({"orchestrators": "17"}, "--orchestrators: '17' is no number from 1 to 16"),
        ({"payload": "1 MiB"}, "--payload: '1 MiB' is no number from 1 to 1000000"),
    ],
)
def test_what_is_unknown_is_named_with_what_there_is(asked: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan(**asked)


def test_the_command_refuses_a_document_without_a_place_for_figures(tmp_path: Path) -> None:
    document = tmp_path / "b.md"
    document.write_text("nothing", "utf-8")
    done = CliRunner().invoke(app, ["bench", "--document", str(document)])
    assert done.exit_code == 2
    assert "figures: begin" in done.output


@pytest.mark.parametrize("system", [name for name in SYSTEMS if not name.startswith(("amends", "floor"))])
def test_who_is_not_installed_says_what_installs_it(system: str, tmp_path: Path) -> None:
    lacks = SYSTEMS[system].missing(tmp_path)
    assert lacks is not None
    assert "install" in lacks


def test_what_is_installed_lacks_nothing(tmp_path: Path) -> None:
    (tmp_path / "python/lib/python3.11/site-packages/dbos").mkdir(parents=True)
    (tmp_path / "node_modules/bullmq").mkdir(parents=True)
    assert lacks_python(tmp_path, "dbos") is None
    assert lacks_node(tmp_path, "bullmq") is None


def test_a_workload_gives_each_branch_a_text() -> None:
    assert WORKLOADS["forward"].input("x") == {"text": "x"}
    assert WORKLOADS["branches-10"].input("x") == {"items": [{"text": "x"}] * 10}
    assert WORKLOADS["branches-10"].steps == 11


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_workload_holds_together(name: str) -> None:
    sealed = WORKLOADS[name].saga.seal()
    assert sealed.normalise(WORKLOADS[name].input("x")) == WORKLOADS[name].input("x")


@pytest.mark.parametrize(("window", "clients", "shares"), [(5, 2, [3, 2]), (1, 2, [1]), (4, 1, [4])])
def test_clients_share_the_window(window: int, clients: int, shares: list[int]) -> None:
    asked = Round("forward", window, 180, 1, 0.0, 1, "", "", Path(), [], Path())
    assert asked.shares(clients) == shares


async def test_a_client_starts_a_saga_when_the_former_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("begin\nmeasure\nstop\n"))
    open_now, most = 0, 0

    async def once() -> tuple[float | None, bool]:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.to_thread(lambda: None)
        open_now -= 1
        return time.perf_counter(), False

    await ClosedLoop(3, 0.0).run(once)
    *words, told = capsys.readouterr().out.splitlines()
    found = json.loads(told)
    assert words == ["ready", "warm", "measuring"]
    assert most == 3
    assert found["finished"] == found["wrong"] >= 3


async def test_an_error_of_a_saga_ends_the_client(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("begin\n"))

    async def once() -> tuple[float | None, bool]:
        raise ValueError("it is away")

    with pytest.raises(ValueError, match="it is away"):
        await ClosedLoop(2, 60.0).run(once)
    assert capsys.readouterr().out == "ready\n"

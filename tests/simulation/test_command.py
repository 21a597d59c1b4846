"""`amends simulate` as people type it."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from amends.cli.app import app
from amends.testing.simulator.script import Script
from tests.simulation.planted import BUGS

TOO_LITTLE = """
from pydantic import BaseModel, Field
from amends import Saga

class Order(BaseModel):
    code: str = Field(pattern="^[0-9]{4}$")

order = Saga("order", input=Order)

@order.step("stock")
async def stock(order: Order) -> int: ...
"""


def test_a_seed_that_holds_says_so() -> None:
    told = CliRunner().invoke(app, ["simulate", "--seed", "3"])
    assert (told.exit_code, told.output.startswith("seed 3: all holds")) == (0, True)


def test_seeds_are_summed_up_for_machines() -> None:
    told = CliRunner().invoke(app, ["simulate", "--seeds", "2", "--jobs", "1", "--json"])
    document = json.loads(told.output)
    assert (told.exit_code, document["seeds"], document["failed"]) == (0, 2, [])


def test_a_failure_is_shrunk_kept_and_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "failing.json"
    BUGS["a takeover runs the handler"](monkeypatch)
    told = CliRunner().invoke(app, ["simulate", "--seeds", "10", "--jobs", "1", "--save", str(kept)])
    assert told.exit_code == 1
    assert "the smallest script that fails has" in told.output
    again = CliRunner().invoke(app, ["simulate", "--script", str(kept)])
    assert (again.exit_code, Script.from_json(kept.read_bytes()).modules) == (1, ())
    monkeypatch.undo()
    assert CliRunner().invoke(app, ["simulate", "--script", str(kept)]).exit_code == 0


def test_an_input_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "too_little.py").write_text(TOO_LITTLE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    told = CliRunner().invoke(app, ["simulate", "--module", "too_little", "--seed", "1"])
    assert told.exit_code == 2
    assert "field 'code'" in told.output
    assert "Field(examples=[...])" in told.output

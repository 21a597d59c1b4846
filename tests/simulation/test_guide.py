"""What the guide on simulating shows on a terminal is what the command says."""

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from amends.cli.app import app

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "guides" / "simulation.md").read_text("utf-8")
FEW = "2"


def test_the_terminal_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sagas,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "mysagas.py").write_text(sagas.partition("def test_")[0])
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (terminal,) = re.findall(r"```\n(\$ amends simulate.*?)```", GUIDE, re.DOTALL)
    shown = re.findall(r"\$ amends ([^#\n]*?) *(?:#.*)?\n(.*?)…", terminal)
    assert len(shown) == terminal.count("$ ")
    for command, begins in shown:
        seeds = re.search(r"--seeds (\d+)", command)
        answer = CliRunner().invoke(app, re.sub(r"--seeds \d+", f"--seeds {FEW} --jobs 1", command).split())
        told = answer.output if seeds is None else answer.output.replace(f"{FEW} seeds", f"{seeds[1]} seeds", 1)
        assert (answer.exit_code, told[: len(begins)]) == (0, begins)
    monkeypatch.delitem(sys.modules, "mysagas")

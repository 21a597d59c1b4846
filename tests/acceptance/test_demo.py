"""The demo tells its story, exits 0, and gives figures to machines."""

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(180)
def test_the_demo_ends_well_and_within_its_goals() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "amends", "demo", "--json"], capture_output=True, text=True, check=False, timeout=170
    )
    assert told.returncode == 0, told.stderr
    facts = json.loads(told.stdout)
    assert facts["invariants"]["violations"] == []
    assert facts["invariants"]["sagas"] == 6
    killed, undone = facts["sagas"].values()
    assert any("worker_lost" in line for line in killed)
    assert killed[-1] == "SagaCompleted"
    order = [line.split()[1] for line in undone if line.startswith("StepUndone")]
    assert order == ["assignment", "tasks", "plan"]
    assert undone[-1] == "SagaCompensated"

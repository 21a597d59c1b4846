"""The demo tells its story, exits 0, and gives figures to machines."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amends.embedded import SHARED, remove


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


def processes_in(folder: Path) -> list[str]:
    """The command lines that name this folder."""
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in told.stdout.splitlines() if str(folder) in line]


def moved() -> set[Path]:
    """Data of folders that only root can reach, as those of pytest are."""
    return set((SHARED / "data").glob("*"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tell that a parent is gone")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_demo_that_is_ended_leaves_nothing_running(tmp_path: Path, how: signal.Signals) -> None:
    before = moved()
    demo = subprocess.Popen(
        [sys.executable, "-m", "amends", "demo"], env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("amends-demo-*/logs/worker-1.log")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    demo.send_signal(how)
    assert demo.wait(40) == (128 + how if how == signal.SIGTERM else -how)
    while left := processes_in(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    (folder,) = tmp_path.glob("amends-demo-*") if how == signal.SIGKILL else [tmp_path / "none"]
    assert folder.exists() == (how == signal.SIGKILL)
    remove(folder)
    assert moved() <= before
    for left_sockets in tmp_path.glob("amends-*"):
        assert how == signal.SIGKILL, left_sockets

"""The demo tells its story, exits 0, and gives figures to machines."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amends.embedded import SHARED, remove
from tests.processes import alive, descendants
from tests.servers import poll

PROCESSES = 8  # `amends up`, two servers, an orchestrator, two workers, a reconciler, a notifier, the API: or one less


@pytest.mark.timeout(180)
def test_the_demo_ends_well_and_tells_its_figures() -> None:
    others = {
        "DATABASE_URL": "postgresql://u@127.0.0.1:1/x",
        "REDIS_HOST": "127.0.0.1",
        "OPENAI_BASE_URL": "http://127.0.0.1:1",
        "OPENAI_API_KEY": "k",
        "QUEUE_MAX_RETRIES": "0",
        "AMENDS_HOST": "192.0.2.1",
        "http_proxy": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-m", "amends", "demo", "--json"]
    told = subprocess.run(
        command, env={**os.environ, **others}, capture_output=True, text=True, check=False, timeout=170
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
    measured = {"enqueue", "commit to completion", "status poll", "lost step scheduled again"}
    assert facts["seconds"].keys() == measured
    assert all(seconds > 0 for seconds in (facts["took"], *facts["seconds"].values()))


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
    poll(lambda: list(tmp_path.glob("amends-demo-*/logs/worker-1.log")), 60)
    poll(lambda: len(descendants(demo.pid)) >= PROCESSES, 60)
    started = descendants(demo.pid)
    demo.send_signal(how)
    assert demo.wait(40) == (128 + how if how == signal.SIGTERM else -how)
    poll(lambda: not [pid for pid in started if alive(pid)], 60)
    (folder,) = tmp_path.glob("amends-demo-*") if how == signal.SIGKILL else [tmp_path / "none"]
    assert folder.exists() == (how == signal.SIGKILL)
    remove(folder)
    assert moved() <= before
    for left_sockets in tmp_path.glob("amends-*"):
        assert how == signal.SIGKILL, left_sockets

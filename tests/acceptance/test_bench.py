"""`amends bench` measures Amends itself with real processes, and says what is absent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(120)
def test_a_short_round_counts_sagas_of_real_processes(tmp_path: Path) -> None:
    asked = ("--systems", "amends,dbos", "--workload", "compensating", "--window", "4", "--rounds", "1")
    brief = ("--seconds", "0.5", "--warm", "0", "--peers", str(tmp_path), "--json")
    done = subprocess.run(
        [sys.executable, "-m", "amends", "bench", *asked, *brief], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (row,) = told["rows"]
    assert (row["system"], row["workload"], row["window"], row["round"]) == ("amends", "compensating", 4, 1)
    assert row["sagas_per_second"] > 0
    assert 0 < row["accepted_p95_ms"] < row["p99_ms"]
    assert {"postgres", "valkey", "orchestrator-1", "worker-1", "client"} <= row["cpu_ms_by_role"].keys()
    assert row["rows_written"] > 10  # a head, events and waits
    assert 10 < row["events_per_second"] / row["sagas_per_second"] < 20
    assert row["wrong"] == 0
    assert "installs it" in told["absent"]["dbos"]

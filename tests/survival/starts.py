"""`make starts`: how long until `amends --help` has answered, a worker takes commands, and `amends up` is ready again.

Medians of several runs: seconds that pass, and of the processor. `amends up` stands on a data directory that is there.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

from tests.acceptance.running import Running

WORKER = """
import os, sys, time
import amends.working, amends.cli.app, marketplace
from amends.cli import main
os.write(int(os.environ["AMENDS_READY_FD"]), f"{time.monotonic()}\\n".encode())
sys.argv = ["amends", "worker"]
main()
"""
Run = Callable[[], tuple[float, float]]


def command(*arguments: str) -> Run:
    """Run a command to its end."""

    def run() -> tuple[float, float]:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return run


def worker(database_url: str, redis_url: str) -> Run:
    """Start a worker; how long it takes from the end of its imports until it is ready."""

    def run() -> tuple[float, float]:
        hears, says = os.pipe()
        told = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "AMENDS_READY_FD": str(says)}
        with subprocess.Popen(
            [sys.executable, "-c", WORKER], env=told, pass_fds=[says], stderr=subprocess.DEVNULL
        ) as process:
            os.close(says)
            with os.fdopen(hears, encoding="utf-8") as pipe:
                imported = float(pipe.readline())
                used = cpu(process.pid)
                assert pipe.readline() == "ready\n"
                ready, used = time.monotonic(), cpu(process.pid) - used
            process.terminate()
        return ready - imported, used

    return run


def cpu(pid: int) -> float:
    """The seconds of the processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _up(folder: Path) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    async with Running(folder):
        ready = time.monotonic()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ready - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def up(folder: Path) -> Run:
    """Start everything, and end it; the processor's time is that of both."""
    return lambda: asyncio.run(_up(folder))


@contextlib.contextmanager
def data_directory() -> Generator[Path]:
    """A data directory that was used once."""
    folder = Path(tempfile.mkdtemp(prefix="amends-starts-"))
    folder.chmod(0o755)
    try:
        asyncio.run(_up(folder))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(name: str, run: Run, runs: int) -> None:
    """Print the medians of so many runs."""
    taken = [run() for _ in range(runs)]
    passed, used = (round(statistics.median(seconds), 3) for seconds in zip(*taken, strict=True))
    told = {"runs": runs, "seconds": passed, "seconds_max": round(max(taken)[0], 3), "processor_seconds": used}
    sys.stdout.write(json.dumps({name: told}) + "\n")
    sys.stdout.flush()


async def _workers(folder: Path, runs: int) -> None:
    async with Running(folder) as made:
        run = worker(made.runtime["database_url"], made.runtime["redis_url"])
        await asyncio.to_thread(show, "worker ready after its imports", run, runs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="starts")
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    show("python", command("-c", ""), runs)
    show("import amends", command("-c", "import amends"), runs)
    show("amends --help", command("-m", "amends", "--help"), runs)
    show(
        "import of all that a service needs", command("-c", "import amends.working, amends.cli.app, marketplace"), runs
    )
    with data_directory() as folder:
        asyncio.run(_workers(folder, runs))
        show("amends up, ready again", up(folder), runs)


if __name__ == "__main__":
    main()

"""Many sagas at once: how long until all have ended, and how much memory each process takes meanwhile.

python -m bench.burst                                 # 1,000 at once, as when a thousand plans are approved together
python -m bench.burst --sagas 100000 --late-workers   # a backlog: no worker runs until all have been started
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import asyncpg

from amends import loops
from amends.identifiers import new_id
from amends.settings import load
from amends.supervisor import Supervisor
from amends.wiring import core
from bench import sagas
from bench.clients import BenchError
from bench.cpu import memory_mib
from bench.measure import PORTS, free_ports, plan_of
from bench.programs.closed_loop import text
from bench.servers import Servers
from bench.systems.amends import Amends
from bench.systems.system import Round
from orchestrator.commits import Commits
from sagas.inputs import Start

LOOK_SECONDS, LOOK_SHARE = 0.1, 20
"""How long between two looks at least; the looks themselves take a twentieth of the time at most."""
STALLED_SECONDS = 600.0
"""The first saga ends when the first steps of all have: queues are first in, first out."""
AT_ONCE = 500
OPEN = "SELECT count(*) FROM amends.sagas WHERE status NOT IN ('completed', 'compensated')"
UNSENT = "SELECT count(*) FROM amends.waits WHERE unsent"


@dataclass(frozen=True)
class Drained:
    """What came of it. `memory` is the most that each role had, in MiB."""

    sagas: int
    started_seconds: float
    drained_seconds: float
    unsent_most: int
    memory: Mapping[str, float]

    def line(self) -> str:
        """For people."""
        sizes = ", ".join(f"{role} {size:.0f}" for role, size in self.memory.items())
        return (
            f"{self.sagas:,} sagas: started in {self.started_seconds:.1f} s, ended in {self.drained_seconds:.1f} s; "
            f"{self.unsent_most:,} commands waited in PostgreSQL for room at most; MiB: {sizes}"
        )


async def burst(count: int, workload: str, *, late_workers: bool) -> Drained:
    """Start so many sagas at once, and wait until all have ended.

    Raises:
        BenchError: nothing ends any more.
    """
    folder = Path(tempfile.mkdtemp(prefix="amends-burst-"))
    folder.chmod(0o755)  # noqa: ASYNC240 - at the beginning, where nothing else runs
    servers, supervisor, system = Servers(folder / "servers"), Supervisor(lambda: None), Amends(api=False)
    try:
        await servers.start()
        await servers.fresh("bench_burst", "everysec")
        asked = Round(workload, 1, 180, 1, 0.0, 1, servers.database_url, servers.redis_url, folder, free_ports(PORTS),
                      folder)  # fmt: skip
        await system.prepare(asked)
        parts = {part.role: plan_of(part, folder) for part in system.parts(asked)}
        worker = parts.pop("worker-1")
        await asyncio.gather(*(supervisor.start(plan) for plan in parts.values()))
        if not late_workers:
            await supervisor.start(worker)
        watch = _Watch(servers.database_url, lambda: {**servers.roles, **supervisor.pids})
        watching = asyncio.create_task(watch.run())
        began = time.perf_counter()
        await _start(asked, count)
        started = time.perf_counter() - began
        if late_workers:
            await supervisor.start(worker)
        watch.all_started = True
        await watching
        return Drained(count, started, time.perf_counter() - began, watch.unsent_most, watch.memory)
    finally:
        await supervisor.stop([*reversed(supervisor.pids)])
        await servers.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _start(asked: Round, count: int) -> None:
    """As an application does that has an engine: what comes together shares commits."""
    here = {"database_url": asked.database_url, "redis_url": asked.redis_url, "sagas": ("bench.sagas",)}
    async with core(load().model_copy(update=here), "api") as made:
        sealed = made.sagas[sagas.WORKLOADS[asked.workload].saga.name]
        commits = Commits(made.engine)
        value = sealed.normalise(sagas.WORKLOADS[asked.workload].input(text(asked.payload)))
        async with made.publisher.running():
            for first in range(0, count, AT_ONCE):
                words = [Start(new_id(), sealed.manifest, value) for _ in range(min(AT_ONCE, count - first))]
                await asyncio.gather(*(commits.apply([word]) for word in words))
            await commits.close()


@dataclass
class _Watch:
    """Looks how many sagas are open, and how large the processes are."""

    database_url: str
    pids: Callable[[], Mapping[str, int]]
    memory: dict[str, float] = field(default_factory=dict[str, float])
    unsent_most: int = 0
    all_started: bool = False

    async def run(self) -> None:
        """Look until all are started and none is open.

        Raises:
            BenchError: none has ended for long.
        """
        least, since = inf, time.perf_counter()
        connection = await asyncpg.connect(self.database_url)
        try:
            while True:
                looked = time.perf_counter()
                started, left = self.all_started, int(await connection.fetchval(OPEN))
                if started and not left:
                    return
                if not started or left < least:
                    least, since = left, time.perf_counter()
                if time.perf_counter() - since > STALLED_SECONDS:
                    raise BenchError(f"{left:,} sagas are open, and none has ended for {STALLED_SECONDS:g} s")
                self.unsent_most = max(self.unsent_most, int(await connection.fetchval(UNSENT)))
                for role, pid in self.pids().items():
                    self.memory[role] = max(memory_mib(pid), self.memory.get(role, 0.0))
                await asyncio.sleep(max(LOOK_SECONDS, LOOK_SHARE * (time.perf_counter() - looked)))
        finally:
            await connection.close()


async def main() -> None:
    """Measure, and say it in a line."""
    parser = argparse.ArgumentParser(prog="bench.burst", description="many sagas at once")
    parser.add_argument("--sagas", type=int, default=1000)
    parser.add_argument("--workload", choices=sagas.WORKLOADS, default=sagas.FORWARD)
    parser.add_argument("--late-workers", action="store_true", help="no worker runs until all have been started")
    asked = parser.parse_args()
    done = await burst(asked.sagas, asked.workload, late_workers=asked.late_workers)
    sys.stdout.write(done.line() + "\n")


if __name__ == "__main__":
    loops.run(main())

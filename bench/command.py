"""`amends bench`: rounds of several systems, one after the other."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from amends.supervisor import StartError
from bench import machine
from bench.clients import BenchError
from bench.measure import PORTS, free_ports, measure
from bench.rows import Row
from bench.servers import Servers
from bench.systems import SYSTEMS
from bench.systems.system import Round
from bench.versions import versions

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Plan:
    """What is to be measured. In a round each system is measured once, so that all see the machine alike."""

    systems: Sequence[str]
    workloads: Sequence[str]
    windows: Sequence[int]
    rounds: int
    seconds: float
    warm_seconds: float
    workers: int
    orchestrators: int
    peers: Path


@dataclass
class Measured:
    """What came of it. `absent` says what is not installed, `failed` what did not work, each with the reason."""

    rows: list[Row] = field(default_factory=list[Row])
    absent: Mapping[str, str] = field(default_factory=dict[str, str])
    failed: list[str] = field(default_factory=list[str])
    machine: Mapping[str, str] = field(default_factory=dict[str, str])
    versions: Mapping[str, str] = field(default_factory=dict[str, str])

    def document(self) -> dict[str, object]:
        """All of it as JSON has it."""
        return {**self.__dict__, "rows": [row.document() for row in self.rows]}


def run(plan: Plan, tell: Callable[[Row], None]) -> Measured:
    """Measure everything; `tell` is given each row at once.

    Raises:
        EmbeddedError, StartError: the servers do not start.
    """
    logging.basicConfig(level="ERROR")
    return asyncio.run(_run(plan, tell))


async def _run(plan: Plan, tell: Callable[[Row], None]) -> Measured:
    absent = {name: lacks for name in plan.systems if (lacks := SYSTEMS[name].missing(plan.peers)) is not None}
    present = [name for name in plan.systems if name not in absent]
    folder = _folder()
    servers = Servers(folder / "servers")
    found = Measured(absent=absent, machine=machine.describe(folder))
    try:
        await servers.start()
        found.versions = {**await servers.versions(), **versions(plan.peers, present)}
        for workload, window, number in product(plan.workloads, plan.windows, range(1, plan.rounds + 1)):
            for name in present:
                try:
                    found.rows.append(await _measure(plan, name, servers, folder, workload, window, number))
                    tell(found.rows[-1])
                except (BenchError, StartError) as failure:
                    found.failed.append(f"{name} ({workload}, window {window}, round {number}): {failure}")
                    log.error("%s", found.failed[-1])
    finally:
        await servers.stop()
        if not found.failed:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="amends-bench-"))
    folder.chmod(0o755)
    return folder


async def _measure(
    plan: Plan, name: str, servers: Servers, folder: Path, workload: str, window: int, number: int
) -> Row:
    system = SYSTEMS[name]
    await servers.fresh(f"bench_{name}_{number}".replace("-", "_"), system.about.appendfsync or "everysec")
    asked = Round(workload, window, plan.warm_seconds, plan.workers, plan.orchestrators, servers.database_url,
                  servers.redis_url, folder / name, free_ports(PORTS), plan.peers)  # fmt: skip
    return await measure(name, system, servers, asked, number, plan.seconds)

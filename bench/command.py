"""`amends bench`: rounds of several systems, one after the other."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import PORTS, free_ports, measure
from bench.rows import Row
from bench.servers import Servers
from bench.systems.amends import Amends
from bench.systems.bullmq import Bullmq
from bench.systems.celery import Celery
from bench.systems.dbos import Dbos
from bench.systems.floor import Floor
from bench.systems.restate import Restate
from bench.systems.system import Round, System

SYSTEMS: dict[str, System] = {
    "amends": Amends(api=False),
    "amends-api": Amends(api=True),
    "dbos": Dbos(),
    "restate": Restate(1),
    "bullmq-always": Bullmq("always"),
    "bullmq-everysec": Bullmq("everysec"),
    "celery": Celery(),
    "floor": Floor(),
}


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    systems: Sequence[str]
    workloads: Sequence[str]
    windows: Sequence[int]
    rounds: int
    seconds: float
    warm_seconds: float
    workers: int
    orchestrators: int
    peers: Path


def run(plan: Plan, tell: Callable[[Row], None]) -> tuple[list[Row], dict[str, str]]:
    """Measure everything; `tell` is given each row at once. Also what is missing, by the system that lacks it."""
    missing = {name: lacks for name in plan.systems if (lacks := SYSTEMS[name].missing(plan.peers)) is not None}
    return asyncio.run(_run(plan, [name for name in plan.systems if name not in missing], tell)), missing


async def _run(plan: Plan, names: Sequence[str], tell: Callable[[Row], None]) -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="amends-bench-"))
    folder.chmod(0o755)
    servers = Servers(folder / "servers")
    await servers.start()
    rows: list[Row] = []
    try:
        for workload in plan.workloads:
            for window in plan.windows:
                for number in range(1, plan.rounds + 1):
                    for name in names:
                        rows.append(await _measure(plan, name, servers, folder, workload, window, number))
                        tell(rows[-1])
    finally:
        await servers.stop()
    return rows


async def _measure(
    plan: Plan, name: str, servers: Servers, folder: Path, workload: str, window: int, number: int
) -> Row:
    system = SYSTEMS[name]
    await servers.fresh(f"bench_{name}_{number}".replace("-", "_"), system.appendfsync)
    asked = Round(workload, window, plan.warm_seconds, plan.workers, plan.orchestrators, servers.database_url,
                  servers.redis_url, folder / name, free_ports(PORTS), plan.peers)  # fmt: skip
    return await measure(name, system, servers, asked, number, plan.seconds)

"""`amends bench`: rounds of several systems, one after the other."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

from amends.supervisor import StartError
from bench import machine
from bench.clients import BenchError
from bench.measure import PORTS, free_ports, measure
from bench.rows import Row
from bench.seeding import seed
from bench.servers import Servers
from bench.systems import SYSTEMS
from bench.systems.amends import Amends
from bench.systems.system import Round
from bench.versions import versions
from eventstore.migrate import migrate

log = logging.getLogger("bench")

STATEMENTS_SECONDS = 3.0
AGED, AGED_DAYS = "bench_aged", 60.0


class Load(NamedTuple):
    """What is asked of every system alike: a kind of saga, how many at once, with texts of so many bytes.

    And what Amends runs it on.
    """

    workload: str
    window: int
    payload: int
    orchestrators: int


@dataclass(frozen=True)
class Plan:
    """What is to be measured. In a round each system is measured once, so that all see the machine alike."""

    systems: Sequence[str]
    workloads: Sequence[str]
    windows: Sequence[int]
    payloads: Sequence[int]
    rounds: int
    seconds: float
    warm_seconds: float
    workers: int
    orchestrators: Sequence[int]
    statements: bool
    finished: int
    waiting: int
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
    folder = Path(tempfile.mkdtemp(prefix="amends-bench-"))
    folder.chmod(0o755)  # noqa: ASYNC240 - at the beginning, where nothing else runs
    found = Measured(absent=absent, machine=machine.describe(folder))
    session = Session(plan, Servers(folder / "servers"), folder, found)
    try:
        await session.servers.start()
        found.versions = {**await session.servers.versions(), **versions(plan.peers, present)}
        for load in map(Load._make, product(plan.workloads, plan.windows, plan.payloads, plan.orchestrators)):
            once = load.orchestrators == plan.orchestrators[0]
            able = [
                name for name in present
                if load.workload in SYSTEMS[name].about.workloads and (once or isinstance(SYSTEMS[name], Amends))
            ]  # fmt: skip
            for number, name in product(range(1, plan.rounds + 1), able):
                await session.add(name, load, number, tell)
            if plan.statements:
                for name in able:
                    await session.count_statements(name, load)
    finally:
        await session.servers.stop()
        if not found.failed:  # else its logs are of use
            shutil.rmtree(folder, ignore_errors=True)
    return found


@dataclass
class Session:
    """Rounds on the same servers."""

    plan: Plan
    servers: Servers
    folder: Path
    found: Measured
    _aged: str | None = None

    async def add(self, name: str, load: Load, number: int, tell: Callable[[Row], None]) -> None:
        """Measure a round, and keep it."""
        if (row := await self._row(name, load, number, self.plan.seconds)) is not None:
            self.found.rows.append(row)
            tell(row)

    async def count_statements(self, name: str, load: Load) -> None:
        """Count them in a round of its own, and write them into the rows of this system and load."""
        row = await self._row(name, load, 0, min(self.plan.seconds, STATEMENTS_SECONDS), count=True)
        for index, old in enumerate(self.found.rows):
            if row is not None and old.system == name and load == tuple(getattr(old, part) for part in Load._fields):
                self.found.rows[index] = replace(old, statements=row.statements)

    async def _like(self) -> str:
        """A database as after years of use, made once."""
        if self._aged is None:
            url = await self.servers.make(AGED)
            await migrate(url)
            await seed(url, self.plan.finished, self.plan.waiting, AGED_DAYS)
            self._aged = AGED
        return self._aged

    async def _row(self, name: str, load: Load, number: int, seconds: float, *, count: bool = False) -> Row | None:
        system = SYSTEMS[name]
        database = f"bench_{name}_{number}".replace("-", "_")
        like = await self._like() if system.about.aged else None
        await self.servers.fresh(database, system.about.appendfsync or "everysec", like=like, log_statements=count)
        plan, servers = self.plan, self.servers
        asked = Round(*load, plan.warm_seconds, plan.workers, servers.database_url, servers.redis_url,
                      self.folder / name, free_ports(PORTS), plan.peers)  # fmt: skip
        try:
            return await measure(name, system, servers, asked, number, seconds)
        except (BenchError, StartError) as failure:
            self.found.failed.append(f"{name} ({load.workload}, window {load.window}, round {number}): {failure}")
            log.error("%s", self.found.failed[-1])
            return None

"""One round of one system: start it, drive it, read the counters, end it."""

import asyncio
import json
import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from amends.embedded_processes import ending_with_us
from amends.supervisor import ProcessPlan, Supervisor, tail
from bench import cpu
from bench.rows import FOREIGN_CORES_MAX, Row, percentile
from bench.sagas import STEPS
from bench.servers import Servers
from bench.systems.system import Part, Round, System

WARM_SECONDS_MAX = 120.0
DRAIN_SECONDS_MAX = 180.0
STOP_SECONDS = 5.0
LINE_BYTES_MAX = 1 << 28
HARNESS = "harness"
PORTS = 4


class BenchError(Exception):
    """A system does not do what it is measured for; the text says which, and where its log is."""


class Client:
    """The client of a system, and the lines by which it is told what to do."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, system: str) -> None:
        self._process = process
        self._log = log
        self._system = system

    @classmethod
    async def start(cls, part: Part, log: Path, system: str) -> "Client":
        """Start it."""
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *ending_with_us(part.command), env=dict(part.environment), stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=errors, limit=LINE_BYTES_MAX, start_new_session=True,
            )  # fmt: skip
        return cls(process, log, system)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def heard(self, word: str, seconds: float) -> None:
        """Wait until it says this."""
        line = await self.line(seconds)
        if line != word:
            raise BenchError(f"the client of {self._system} said {line!r} where {word!r} was expected")

    async def line(self, seconds: float) -> str:
        """The next line that it says.

        Raises:
            BenchError: it says nothing for so long, or has ended.
        """
        assert self._process.stdout is not None, "its output is a pipe"
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise BenchError(f"the client of {self._system} says nothing for {seconds:g} s; see {self._log}") from None
        if not line:
            raise BenchError(f"the client of {self._system} has ended:\n{tail(self._log)}")
        return line.decode().strip()

    def tell(self, word: str) -> None:
        """Tell it."""
        assert self._process.stdin is not None, "its input is a pipe"
        self._process.stdin.write(f"{word}\n".encode())

    async def ended(self) -> None:
        """Wait until it has ended; it is killed when it does not."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()


async def measure(name: str, system: System, servers: Servers, asked: Round, number: int, seconds: float) -> Row:
    """Measure a system for so many seconds.

    Raises:
        BenchError, StartError: it does not work.
    """
    shutil.rmtree(asked.folder, ignore_errors=True)
    asked.folder.mkdir(parents=True)
    await system.prepare(asked)
    supervisor = Supervisor(lambda: None)
    before = await servers.count()
    client: Client | None = None
    try:
        for part in system.parts(asked):
            await supervisor.start(_plan(part, asked.folder))
        client = await Client.start(system.client(asked), asked.folder / "client.log", name)
        pids = {**servers.roles, **supervisor.pids, "client": client.pid, HARNESS: os.getpid()}
        found, used, foreign = await _drive(client, pids, seconds)
        if supervisor.pids.items() - pids.items():
            raise BenchError(f"a process of {name} died and was started again; see {asked.folder}")
        await client.ended()
    finally:
        if client is not None:
            client.kill()
        await supervisor.stop([*reversed(supervisor.pids)])
    counted = (await servers.count()).per_saga(before, found["finished"])
    return _row(name, asked, number, found, used, foreign, counted)


async def _drive(
    client: Client, pids: Mapping[str, int], seconds: float
) -> tuple[dict[str, Any], dict[str, float], float]:
    """What the client measured, the CPU seconds of each role meanwhile, and the cores that others used."""
    await client.heard("ready", WARM_SECONDS_MAX)
    client.tell("begin")
    await client.heard("warm", WARM_SECONDS_MAX)
    began = cpu.read(pids)
    client.tell("measure")
    await client.heard("measuring", STOP_SECONDS)
    await asyncio.sleep(seconds)
    client.tell("stop")
    used, foreign = cpu.read(pids).since(began)
    found: dict[str, Any] = json.loads(await client.line(DRAIN_SECONDS_MAX))
    return found, used, foreign


def _row(
    name: str, asked: Round, number: int, found: Mapping[str, Any], used: Mapping[str, float], foreign: float,
    counted: Mapping[str, float],
) -> Row:  # fmt: skip
    latencies: list[float] = found["latencies"]
    accepted: list[float] = found["accepted"]
    sagas = len(latencies)
    roles = {role: spent * 1000 / max(sagas, 1) for role, spent in used.items() if role != HARNESS}
    return Row(
        system=name,
        workload=asked.workload,
        window=asked.window,
        round=number,
        seconds=found["seconds"],
        sagas=sagas,
        wrong=found["wrong"],
        sagas_per_second=sagas / found["seconds"],
        steps_per_second=sagas * STEPS[asked.workload] / found["seconds"],
        p50_ms=percentile(latencies, 0.5),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=percentile(latencies, 0.99),
        accepted_p50_ms=percentile(accepted, 0.5) if accepted else None,
        accepted_p99_ms=percentile(accepted, 0.99) if accepted else None,
        cpu_ms_per_saga=sum(roles.values()),
        cpu_ms_by_role=roles,
        foreign_cpu=foreign,
        noisy=foreign > FOREIGN_CORES_MAX,
        yardstick_ms=cpu.yardstick_ms(),
        **counted,
    )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _plan(part: Part, folder: Path) -> ProcessPlan:
    return ProcessPlan(
        part.role, ending_with_us(part.command), part.environment, folder / f"{part.role}.log", STOP_SECONDS,
        ready=part.ready,
    )  # fmt: skip


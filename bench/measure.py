"""One round of one system: start it, drive it, read the counters, end it."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from amends.embedded_processes import ending_with_us
from amends.supervisor import ProcessPlan, Supervisor
from bench import machine
from bench.clients import BenchError, Client, drive, ready
from bench.rows import FOREIGN_CORES_MAX, Row, percentile
from bench.sagas import WORKLOADS
from bench.servers import Servers
from bench.systems.system import About, Part, Round, System

STOP_SECONDS = 5.0
HARNESS = "harness"
OF_POSTGRES = ("commits", "rows_written", "wal_syncs", "wal_bytes", "stored_bytes", "events", "statements")
OF_VALKEY = ("redis_commands", "redis_bytes")
PORTS = 4


async def measure(name: str, system: System, servers: Servers, asked: Round, number: int, seconds: float) -> Row:
    """Measure a system for so many seconds.

    Raises:
        BenchError, StartError: it does not work.
    """
    shutil.rmtree(asked.folder, ignore_errors=True)
    asked.folder.mkdir(parents=True)
    await system.prepare(asked)
    yardsticks = [machine.yardstick_ms()]
    fsync_ms = machine.fsync_ms(asked.folder)
    supervisor = Supervisor(lambda: None)
    clients: list[Client] = []
    try:
        await asyncio.gather(*(supervisor.start(plan_of(part, asked.folder)) for part in system.parts(asked)))
        for part in system.clients(asked):
            clients.append(await Client.start(part, asked.folder))
        await ready(clients)
        before = await servers.count()  # what a system makes of tables when it starts is none of its sagas' cost
        pids = {**servers.roles, **supervisor.pids, **{one.role: one.pid for one in clients}, HARNESS: os.getpid()}
        found, used, foreign = await drive(clients, pids, seconds)
        if supervisor.pids.items() - pids.items():
            raise BenchError(f"a process of {name} died and was started again; see {asked.folder}")
        for client in clients:
            await client.ended()
    finally:
        for client in clients:
            await client.kill()
        await _ended(supervisor)
    yardsticks.append(machine.yardstick_ms())
    counted = used_only((await servers.count()).per_saga(before, found["finished"]), system.about)
    standing = {"yardstick_ms": sum(yardsticks) / len(yardsticks), "fsync_ms": fsync_ms}
    return _row(name, asked, number, found, used, foreign, {**counted, **standing})


def used_only(counted: Mapping[str, float | None], about: About) -> dict[str, float | None]:
    """What was counted, without what stands in servers that the system does not use."""
    unused = (*(() if about.postgres else OF_POSTGRES), *(OF_VALKEY if about.appendfsync is None else ()))
    return {name: None if name in unused else value for name, value in counted.items()}


def _row(
    name: str, asked: Round, number: int, found: Mapping[str, Any], used: Mapping[str, float], foreign: float,
    counted: dict[str, Any],
) -> Row:  # fmt: skip
    latencies: list[float] = found["latencies"]
    accepted: list[float] = found["accepted"]
    sagas, events = len(latencies), counted.pop("events")
    roles = {role: spent * 1000 / max(sagas, 1) for role, spent in used.items() if role != HARNESS}
    return Row(
        system=name,
        workload=asked.workload,
        window=asked.window,
        payload=asked.payload,
        orchestrators=asked.orchestrators,
        workers=asked.workers,
        round=number,
        seconds=found["seconds"],
        sagas=sagas,
        wrong=found["wrong"],
        sagas_per_second=sagas / found["seconds"],
        steps_per_second=sagas * WORKLOADS[asked.workload].steps / found["seconds"],
        events_per_second=None if not events else events * sagas / found["seconds"],
        p50_ms=percentile(latencies, 0.5),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=percentile(latencies, 0.99),
        accepted_p50_ms=percentile(accepted, 0.5) if accepted else None,
        accepted_p95_ms=percentile(accepted, 0.95) if accepted else None,
        accepted_p99_ms=percentile(accepted, 0.99) if accepted else None,
        cpu_ms_per_saga=sum(roles.values()),
        cpu_ms_by_role=roles,
        foreign_cpu=foreign,
        noisy=foreign > FOREIGN_CORES_MAX,
        **counted,
    )


async def _ended(supervisor: Supervisor) -> None:
    """End all processes, and what they have started and left: each leads a group of its own."""
    leaders = [*supervisor.pids.values()]
    await supervisor.stop([*reversed(supervisor.pids)])
    for pid in leaders:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def plan_of(part: Part, folder: Path) -> ProcessPlan:
    """How the supervisor starts it."""
    return ProcessPlan(
        part.role, ending_with_us(part.command), part.environment, folder / f"{part.role}.log", STOP_SECONDS,
        ready=part.ready,
    )  # fmt: skip

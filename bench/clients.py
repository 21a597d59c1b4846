"""The client of a system as the harness sees it: a process that is told what to do in lines."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from amends.embedded_processes import ending_with_us
from amends.supervisor import tail
from bench import cpu
from bench.systems.system import Part

READY_SECONDS = 60.0
WARM_SECONDS_MAX = 180.0
DRAIN_SECONDS_MAX = 180.0
STOP_SECONDS = 20.0
LINE_BYTES_MAX = 1 << 28


class BenchError(Exception):
    """A system does not do what it is measured for; the text says which, and where its log is."""


class Client:
    """A client that runs."""

    def __init__(self, role: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.role = role
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, part: Part, folder: Path) -> Self:
        """Start it."""
        log = folder / f"{part.role}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *ending_with_us(part.command), env=dict(part.environment), stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=errors, limit=LINE_BYTES_MAX, start_new_session=True,
            )  # fmt: skip
        return cls(part.role, process, log)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def heard(self, word: str, seconds: float) -> None:
        """Wait until it says this.

        Raises:
            BenchError: it says something else, or nothing for so long.
        """
        line = await self.line(word, seconds)
        if line != word:
            raise BenchError(f"the {self.role} said {line[:200]!r} where {word!r} was expected; see {self._log}")

    async def line(self, awaited: str, seconds: float) -> str:
        """The next line that it says.

        Raises:
            BenchError: it says nothing for so long, or has ended.
        """
        assert self._process.stdout is not None, "its output is a pipe"
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise BenchError(f"the {self.role} is not {awaited} after {seconds:g} s; see {self._log}") from None
        if not line:
            raise BenchError(f"the {self.role} ended before it was {awaited}:\n{tail(self._log)}")
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
            await self.kill()

    async def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def ready(clients: Iterable[Client]) -> None:
    """Wait until all clients could begin.

    Raises:
        BenchError: a client fails.
    """
    for client in clients:
        await client.heard("ready", READY_SECONDS)


async def drive(
    clients: Sequence[Client], pids: Mapping[str, int], seconds: float
) -> tuple[dict[str, Any], dict[str, float], float]:
    """What the clients, which are ready, measured together, the CPU of each role meanwhile, and the cores of others.

    Raises:
        BenchError: a client fails.
    """
    for client in clients:
        client.tell("begin")
    for client in clients:
        await client.heard("warm", WARM_SECONDS_MAX)
    began = cpu.read(pids)
    for client in clients:
        client.tell("measure")
    for client in clients:
        await client.heard("measuring", STOP_SECONDS)
    await asyncio.sleep(seconds)
    for client in clients:
        client.tell("stop")
    used, foreign = cpu.read(pids).since(began)
    told = [json.loads(await client.line("done", DRAIN_SECONDS_MAX)) for client in clients]
    return together(told), used, foreign


def together(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several clients measured, as if one had: each over its own seconds, which hardly differ."""
    found: dict[str, Any] = {"seconds": sum(one["seconds"] for one in told) / len(told)}
    for name in ("latencies", "accepted"):
        found[name] = [time for one in told for time in one[name]]
    for name in ("finished", "wrong"):
        found[name] = sum(one[name] for one in told)
    return found

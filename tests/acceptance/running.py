"""A whole Amends as users run it: `amends up` with servers and processes of its own, asked over HTTP."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import aiohttp
import asyncpg

T = TypeVar("T")
START_SECONDS = 60
END_SECONDS = 30
"""As promised: `amends up` drains and ends within that time."""
POLL_SECONDS = 0.05
PLAN: dict[str, Any] = {
    "opportunities": [
        {"channel": "Amazon", "priority": "alta", "title": f"T{n}", "what": f"w{n}", "reason": "“r”"} for n in range(3)
    ],
    "phases": [],
    "channels": ["Amazon"],
    "empty_channels": [],
}


def sagas_of(names: str) -> list[str]:
    """As options of the command line."""
    return [part for name in names.split(",") for part in ("--sagas", name)]


class Running:
    """One `amends up`. Use it as an asynchronous context manager."""

    def __init__(
        self, folder: Path, *, workers: int = 1, orchestrators: int = 1, environment: Mapping[str, str] | None = None,
        sagas: str = "marketplace",
    ) -> None:  # fmt: skip
        self.folder = folder
        self._arguments = ["--workers", str(workers), "--orchestrators", str(orchestrators), *sagas_of(sagas)]
        self._environment = dict(environment or {})
        self.runtime: dict[str, Any] = {}
        self.killed = False

    async def __aenter__(self) -> "Running":
        others = ("AMENDS_", "DATABASE", "REDIS", "OPENAI_")
        told = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        command = [
            sys.executable,
            "-m",
            "amends",
            "up",
            "--port",
            "0",
            "--data-dir",
            str(self.folder),
            *self._arguments,
        ]
        (self.folder / "runtime.json").unlink(missing_ok=True)  # of one that was killed
        self.log = self.folder / "up.log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, env={**told, **self._environment}, stdout=output, stderr=output, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip
        try:
            await until(self._ready, START_SECONDS, lambda: self.log.read_text("utf-8"))
        except BaseException:
            self.process.kill()
            raise
        self.http = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self.runtime['api_key']}"})
        self.database = await asyncpg.connect(self.runtime["database_url"])
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.close()
        self.database.terminate()
        if self.killed:
            return
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, END_SECONDS)
        if exc[0] is None:
            assert code == 0, self.log.read_text("utf-8")[-3000:]
            left = [path for path in self._socket_folders() if path.exists()]
            assert not left, "folders of sockets are left"

    def _socket_folders(self) -> list[Path]:
        urls = self.runtime["database_url"], self.runtime["redis_url"]
        return [Path(urls[0].partition("?host=")[2]), Path(urls[1].removeprefix("unix://")).parent]

    async def _ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text("utf-8")
        path = self.folder / "runtime.json"
        if path.exists():
            self.runtime = json.loads(path.read_text("utf-8"))
        return bool(self.runtime)

    def pids(self, prefix: str) -> list[int]:
        """The processes whose names begin so, as they are now."""
        found: dict[str, int] = json.loads((self.folder / "runtime.json").read_text("utf-8"))["pids"]
        return [pid for name, pid in found.items() if name.startswith(prefix)]

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Ask the API: the status and the document."""
        async with self.http.request(method, f"{self.runtime['url']}{path}", **options) as response:
            return response.status, json.loads(await response.read() or b"null")

    async def saga(self, saga_id: str) -> dict[str, Any]:
        """A saga as the API shows it."""
        _, found = await self.call("GET", f"/api/sagas/{saga_id}")
        return dict(found)

    async def ended(self, saga_id: str, seconds: float = 30) -> dict[str, Any]:
        """The saga once it has ended, or rests."""

        async def done() -> dict[str, Any] | None:
            found = await self.saga(saga_id)
            desk = any(wait["kind"] == "operator" for wait in found["waits"])
            return found if desk or found["status"] not in ("active", "compensating") else None

        return await until(done, seconds)

    async def pending_plan(self) -> str:
        """A plan that awaits approval, without the analysis."""
        plan_id, document_id = uuid4(), uuid4()
        await self.database.execute(
            "INSERT INTO marketplace_documents (id, filename, kind, text) VALUES ($1, 'a.txt', 'text', 'x')",
            document_id,
        )
        await self.database.execute(
            "INSERT INTO marketplace_plans (id, document_id, channels, status, plan_data) "
            "VALUES ($1, $2, '{Amazon}', 'pending', $3)",
            plan_id, document_id, json.dumps(PLAN),
        )  # fmt: skip
        return str(plan_id)

    async def approve(self, plan_id: str) -> str:
        """Approve a plan; the saga's id."""
        status, found = await self.call("PATCH", f"/api/marketplace/analysis/{plan_id}", json={"action": "approve"})
        assert status == 202, found
        return str(found["sagaId"])

    async def plan(self, plan_id: str) -> dict[str, Any]:
        """A plan with its tasks."""
        _, found = await self.call("GET", f"/api/marketplace/analysis/{plan_id}")
        return dict(found)

    def amends(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the same data directory."""
        command = [sys.executable, "-m", "amends", *arguments, "--data-dir", str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    @contextlib.asynccontextmanager
    async def another(self, role: str) -> AsyncGenerator[None]:
        """One more process of a role, started by hand."""
        told = {"DATABASE_URL": self.runtime["database_url"], "REDIS_URL": self.runtime["redis_url"]}
        with (self.folder / f"another-{role}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "amends", role], env={**os.environ, **told}, cwd=self.folder, stdout=output,
                stderr=output,
            )  # fmt: skip
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 30) == 0

    def check_invariants(self) -> None:
        """`amends doctor --invariants` finds nothing."""
        told = self.amends("doctor", "--invariants", "--json")
        assert told.returncode == 0, told.stdout + told.stderr
        assert json.loads(told.stdout)["invariants"]["violations"] == []


async def until(
    ask: Callable[[], Awaitable[T | None]], seconds: float, evidence: Callable[[], object] | None = None
) -> T:
    """Ask until the answer is not false."""
    deadline = time.monotonic() + seconds
    while True:
        found = await ask()
        if found:
            return found
        assert time.monotonic() < deadline, evidence() if evidence is not None else f"not within {seconds} s"
        await pause()


async def pause() -> None:
    """Between two polls."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()
    loop.call_later(POLL_SECONDS, waiting.set_result, None)
    await waiting


@contextlib.asynccontextmanager
async def running(**options: Any) -> AsyncGenerator[Running]:
    """A running Amends in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="amends-acceptance-"))
    folder.chmod(0o755)
    try:
        async with Running(folder, **options) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)

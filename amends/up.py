"""`amends up`: servers, migration and every process of Amends, under one supervisor (design section 10)."""

import asyncio
import fcntl
import json
import logging
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

from amends.embedded import EmbeddedPostgres, EmbeddedValkey
from amends.settings import Settings, SettingsError, environment
from amends.supervisor import ProcessPlan, Supervisor
from amends.wiring import seal_all
from eventstore.migrate import migrate
from eventstore.postgres import reachable

log = logging.getLogger("amends.up")

# Together within the 30 s that `up` has for ending. A worker cancels what its drain leaves and says what became of it.
DRAIN_SECONDS_MAX = 15.0
ROLE_STOP_SECONDS = 22.0
SERVER_STOP_SECONDS = 5.0


class InUseError(Exception):
    """Another `amends up` has the data directory."""


@dataclass
class Runtime:
    """What `runtime.json` says of a running Amends."""

    url: str = ""
    database_url: str = ""
    redis_url: str = ""
    api_key: str = ""
    pids: dict[str, int] = field(default_factory=dict[str, int])

    def write(self, path: Path) -> None:
        """Replace the file in one go; only its owner may read it."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".runtime-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self.__dict__, file, indent=2)
        Path(name).chmod(0o600)
        Path(name).replace(path)


class Up:
    """Everything of one data directory."""

    def __init__(self, settings: Settings, workers: int = 1, orchestrators: int = 1) -> None:
        self._settings = settings
        self._workers = workers
        self._orchestrators = orchestrators
        self._folder = settings.data_dir.resolve()
        self._runtime = Runtime()
        self._supervisor = Supervisor(self._changed)
        self._roles: list[str] = []
        self._servers: dict[str, EmbeddedPostgres | EmbeddedValkey] = {}
        self._announced = False

    async def run(self, announce: Callable[[Runtime], None]) -> None:
        """Start everything, tell `announce`, keep it running until SIGTERM or SIGINT, drain, end.

        Raises:
            SettingsError: the data directory cannot be made. InUseError: it is another's.
            StoreUnavailable: the database is away. StartError: a process does not start.
        """
        stopping = asyncio.Event()
        for which in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(which, stopping.set)
        applications, _ = seal_all(self._settings)
        lock = _lock(_made(self._folder))
        path = self._folder / "runtime.json"
        path.unlink(missing_ok=True)
        try:
            await self._start_servers()
            folders = {app.name: app.migrations for app in applications if app.migrations is not None}
            async with reachable():
                for name in await migrate(self._runtime.database_url, folders):
                    log.info("migrated: %s", name)
            await self._start_roles()
            await asyncio.to_thread(_wait_until_ready, self._runtime.url)
            self._announced = True
            self._changed()
            announce(self._runtime)
            await self._until(stopping)
        finally:
            await self._supervisor.stop(self._roles)
            await self._supervisor.stop([*reversed(self._servers)])
            for server in self._servers.values():
                server.clear()
            path.unlink(missing_ok=True)
            os.close(lock)

    async def _until(self, stopping: asyncio.Event) -> None:
        waits = [asyncio.create_task(stopping.wait()), asyncio.create_task(self._supervisor.failed())]
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        for task in done:
            task.result()

    async def _start_servers(self) -> None:
        self._runtime.api_key = self._settings.api_key or _own_key(self._folder)
        self._runtime.database_url = self._settings.database_url or await self._embedded(
            EmbeddedPostgres(self._folder / "postgres-18")
        )
        self._runtime.redis_url = self._settings.redis or await self._embedded(EmbeddedValkey(self._folder))

    async def _embedded(self, server: EmbeddedPostgres | EmbeddedValkey) -> str:
        described = server.process()
        self._servers[described.name] = server
        plan = ProcessPlan(
            described.name,
            described.arguments,
            described.environment,
            self._folder / "logs" / f"{described.name}.log",
            prepare=server.prepare,
            ready=server.ready,
            stop_signal=described.stop_signal,
            stop_seconds=SERVER_STOP_SECONDS,
            folder="/",
        )
        await self._supervisor.start(plan)
        return server.url

    async def _start_roles(self) -> None:
        names = [f"orchestrator-{number + 1}" for number in range(self._orchestrators)]
        names += [f"worker-{number + 1}" for number in range(self._workers)]
        names += ["reconciler", "notifier"]
        plans = [self._plan(name) for name in names]
        api = self._plan("api")
        self._roles = [plan.name for plan in (api, *plans)]
        url, *_ = await asyncio.gather(*(self._supervisor.start(plan) for plan in (api, *plans)))
        api.changes["AMENDS_PORT"] = url.rpartition(":")[2]  # who comes back comes back at the same address
        self._runtime.url = url

    def _plan(self, name: str) -> ProcessPlan:
        told = {
            **environment(),
            "DATABASE_URL": self._runtime.database_url,
            "REDIS_URL": self._runtime.redis_url,
            "AMENDS_API_KEY": self._runtime.api_key,
            "AMENDS_SAGAS": ",".join(self._settings.sagas),
            "AMENDS_PORT": str(self._settings.port),
            "AMENDS_DRAIN_TIMEOUT": str(min(self._settings.drain_timeout, DRAIN_SECONDS_MAX)),
        }
        role = name.partition("-")[0]
        arguments = (sys.executable, "-m", "amends", role)
        log_file = self._folder / "logs" / f"{name}.log"
        return ProcessPlan(name, arguments, told, log_file, stop_seconds=ROLE_STOP_SECONDS, folder=str(Path.cwd()))

    def _changed(self) -> None:
        if self._announced:
            self._runtime.pids = self._supervisor.pids
            self._runtime.write(self._folder / "runtime.json")


def _made(folder: Path) -> Path:
    """The data directory, made if it is not there.

    Raises:
        SettingsError: it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise SettingsError(
            f"{folder} cannot be the data directory: {refused.strerror}\n"
            "  remedy: name a folder that can be made, with --data-dir or AMENDS_DATA_DIR"
        ) from None
    return folder


def _lock(folder: Path) -> int:
    """Take the data directory; the kernel gives it back when this process ends."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 32).decode().strip() or "unknown"
        os.close(handle)
        raise InUseError(
            f"{folder} is in use by process {owner}\n  remedy: end it, or name another folder with --data-dir"
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def _own_key(folder: Path) -> str:
    """The installation's own API key, made once."""
    path = folder / "api_key"
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text("ascii").strip()


def _wait_until_ready(url: str) -> None:
    with urlopen(Request(f"{url}/readyz"), timeout=10) as response:  # noqa: S310 - our own address
        if response.status != 200:
            raise RuntimeError(f"{url}/readyz answers {response.status}")

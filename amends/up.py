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
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from amends.application import App
from amends.embedded import EmbeddedPostgres, EmbeddedValkey
from amends.embedded_processes import ending_with_us
from amends.sealing import seal_all
from amends.settings import Settings, SettingsError, environment
from amends.supervisor import READY_SECONDS, ProcessPlan, StartError, Supervisor
from eventstore.migrate import migrate
from eventstore.postgres import reachable

log = logging.getLogger("amends.up")

# Together within the 30 s that `up` has for ending. A worker cancels what its drain leaves and says what became of it.
DRAIN_SECONDS_MAX = 15.0
ROLE_STOP_SECONDS = 22.0
SERVER_STOP_SECONDS = 5.0
ASK_SECONDS = 2.0
LOOK_SECONDS = 0.05


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
        _write_whole(path, json.dumps(self.__dict__, indent=2))


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
            StoreUnavailable: the database is away. StartError: a process does not start, or `/readyz` never says yes.
        """
        stopping = asyncio.Event()
        for which in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(which, stopping.set)
        applications, _ = seal_all(self._settings)
        lock = _lock(_made(self._folder))
        path = self._folder / "runtime.json"
        path.unlink(missing_ok=True)
        try:
            if await _unless(stopping, self._start(applications)):
                self._announced = True
                self._changed()
                announce(self._runtime)
                await _unless(stopping, self._supervisor.failed())
        finally:
            await self._supervisor.stop(self._roles)
            await self._supervisor.stop([*reversed(self._servers)])
            for server in self._servers.values():
                server.clear()
            path.unlink(missing_ok=True)
            os.close(lock)

    async def _start(self, applications: Sequence[App]) -> None:
        await self._start_servers()
        folders = {app.name: app.migrations for app in applications if app.migrations is not None}
        async with reachable():
            for name in await migrate(self._runtime.database_url, folders):
                log.info("migrated: %s", name)
        await self._start_roles()
        await until_ready(self._runtime.url, READY_SECONDS)

    async def _start_servers(self) -> None:
        self._runtime.api_key = self._settings.api_key or own_key(self._folder)
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
            "AMENDS_ARCHIVE_DIR": str(self._settings.archive.resolve()),
            "AMENDS_DRAIN_TIMEOUT": str(min(self._settings.drain_timeout, DRAIN_SECONDS_MAX)),
        }
        role = name.partition("-")[0]
        arguments = ending_with_us((sys.executable, "-m", "amends", role))
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


def own_key(folder: Path) -> str:
    """The installation's own API key, made once."""
    path = folder / "api_key"
    if not path.exists() or not path.stat().st_size:
        _write_whole(path, secrets.token_urlsafe(32))
    return path.read_text("ascii").strip()


def _write_whole(path: Path, text: str) -> None:
    """Write a file in one go, so that nobody ever finds half of it; only its owner may read it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).chmod(0o600)
    Path(name).replace(path)


async def until_ready(url: str, seconds_max: float) -> None:
    """Ask `/readyz` until it answers 200.

    Raises:
        StartError: it does not in that time.
    """
    deadline = time.monotonic() + seconds_max
    while (trouble := await asyncio.to_thread(_trouble, url)) is not None:
        if time.monotonic() > deadline:
            raise StartError(
                f"{url}/readyz does not answer 200 within {seconds_max:g} s: {trouble}\n"
                "  remedy: the logs in the data directory say why; put that right and start again"
            )
        await asyncio.sleep(LOOK_SECONDS)


def _trouble(url: str) -> str | None:
    """Why `/readyz` does not answer 200. No proxy is asked, whatever is set: they are for the addresses of others."""
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=ASK_SECONDS)) as connection:
        try:
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
        except (OSError, HTTPException) as away:
            return str(away) or type(away).__name__
    return None if status == 200 else f"it answers {status}"


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, or give it up as soon as all is to end; whether it was done."""
    working, told = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([working, told], return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        told.cancel()
        await asyncio.wait([working, told])
    if working.cancelled():
        return False
    working.result()
    return True

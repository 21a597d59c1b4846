"""Settings in, what every service needs out: the one place where ports meet their adapters.

The services themselves are `amends/api/service.py`, `orchestrating.py`, `working.py`, `reconciling.py` and
`notifying.py`: each process loads its own alone.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from amends.clock import LoopClock
from amends.settings import Settings, SettingsError
from consumers.stream import RedisStreams
from eventstore.postgres import COMMAND_SECONDS, PostgresStore
from orchestrator.engine import Engine
from orchestrator.publisher import LOOK_SECONDS, LOOK_SELDOM_SECONDS, Publisher
from sagas.numbers import DEFAULT_NUMBERS
from sagas.ports import StoreUnavailable

if TYPE_CHECKING:
    from amends.application import App
    from sagas.seal import Sealed

log = logging.getLogger("amends")

CONNECT_SECONDS = 30.0
WHO_KNOWS_SAGAS = frozenset({"api", "worker", "notifier"})
"""The others go by what is stored, and load nobody's application."""


@dataclass(frozen=True)
class Core:
    """What every process needs: the store, a way to the streams, and the engine; sagas and applications where known."""

    name: str
    store: PostgresStore
    streams: RedisStreams
    engine: Engine
    publisher: Publisher
    sagas: "Mapping[str, Sealed]"
    applications: "Sequence[App]"


@asynccontextmanager
async def core(
    settings: Settings, role: str, statement_seconds: float = COMMAND_SECONDS, lock_seconds: float | None = None
) -> AsyncGenerator[Core]:
    """Connect to both servers, which may come up while we wait."""
    if settings.database_url is None or settings.redis is None:
        raise SettingsError(
            "DATABASE_URL and REDIS_URL (or REDIS_HOST) are needed: set them, or use `amends up`, which has its own"
        )
    applications: list[App] = []
    sealed: dict[str, Sealed] = {}
    if role in WHO_KNOWS_SAGAS:
        from amends.sealing import seal_all

        applications, sealed = seal_all(settings)
    name = f"{role}@{socket.gethostname()}/{os.getpid()}-{uuid4().hex[:6]}"
    connect = partial(
        PostgresStore.open,
        settings.database_url,
        pool_size=settings.concurrency + 4,
        name=f"amends {role}",
        seconds=statement_seconds,
        lock_seconds=lock_seconds,
    )
    store = await _patiently(connect)
    streams = RedisStreams(settings.redis, name)
    try:
        if role in ("api", "worker"):  # who starts sagas, and who runs their steps
            for found in sealed.values():
                await store.put_manifest(found.manifest)
        clock = LoopClock()
        look = LOOK_SECONDS if role in ("orchestrator", "worker") else LOOK_SELDOM_SECONDS
        publisher = Publisher(store, streams, clock, DEFAULT_NUMBERS.lease_seconds, look)
        streams.on_memory_lost(store.memory_lost)
        yield Core(name, store, streams, Engine(store, clock, publisher), publisher, sealed, applications)
    finally:
        await streams.close()
        await store.close()


async def every(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do the work now and after each interval; a database that is away is waited for."""
    while True:
        try:
            await work()
        except StoreUnavailable as away:
            log.warning("put off for %g s: %s", seconds, away)
        await asyncio.sleep(seconds)


async def _patiently(connect: Callable[[], Awaitable[PostgresStore]]) -> PostgresStore:
    deadline = asyncio.get_running_loop().time() + CONNECT_SECONDS
    while True:
        try:
            return await connect()
        except StoreUnavailable as away:
            if asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("waiting for the database: %s", away)
            await asyncio.sleep(0.25)


def on_stop(stop: Callable[[], None]) -> None:
    """Have it called when the process is told to end."""
    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stop)


def ready(settings: Settings, word: str = "ready") -> None:
    """Tell the supervisor, if there is one."""
    if settings.ready_fd is not None:
        with open(settings.ready_fd, "w", encoding="utf-8") as pipe:  # noqa: PTH123 - a file descriptor
            pipe.write(f"{word}\n")

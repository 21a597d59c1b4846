"""Settings in, running services out: the one place where ports meet their adapters."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from amends.api.app import make_app
from amends.api.server import listening
from amends.application import App, load_applications
from amends.backend import Backend
from amends.clock import LoopClock
from amends.settings import Settings, SettingsError, read_settings
from consumers.effects import PostgresTransactions
from consumers.execution import Surroundings
from consumers.projector import Projector
from consumers.stream import RedisStreams
from consumers.wire import ping
from consumers.worker import Worker, WorkerNumbers
from eventstore.postgres import COMMAND_SECONDS, PostgresStore
from eventstore.requests import Requests
from eventstore.workers import Registry
from eventstore.workers import forget as forget_workers
from orchestrator.engine import Engine
from orchestrator.publisher import LOOK_SECONDS, LOOK_SELDOM_SECONDS, Publisher, beside
from orchestrator.service import Orchestrator
from reconciler.cycle import Reconciler, Report
from reconciler.evidence import PostgresEvidence
from sagas.numbers import DEFAULT_NUMBERS
from sagas.ports import StoreUnavailable
from sagas.resources import factories
from sagas.seal import Sealed

log = logging.getLogger("amends")

CONNECT_SECONDS = 30.0
API_STATEMENT_SECONDS = 2.5
"""Who asks the API is told within twice that time that the database does not answer."""
API_LOCK_SECONDS = 0.1
"""A start whose key somebody holds in an open transaction of his own (rule A4) so holds up no other for long."""
HEARTBEAT_SECONDS = 30.0
FORGET_SECONDS = 3600.0
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


@dataclass(frozen=True)
class Core:
    """What every process needs: the store, a way to the streams, and the engine."""

    name: str
    store: PostgresStore
    streams: RedisStreams
    engine: Engine
    publisher: Publisher
    sagas: Mapping[str, Sealed]
    applications: Sequence[App]


def configure_logging(settings: Settings) -> None:
    """Log to standard error, one line each."""
    logging.basicConfig(level=settings.log_level, format=FORMAT, stream=sys.stderr, force=True)


def seal_all(settings: Settings) -> tuple[list[App], dict[str, Sealed]]:
    """The applications that the settings name, and their sagas sealed, by name.

    Raises:
        DefinitionError: one does not hold together. SettingsError: a setting of an application is malformed.
    """
    applications = load_applications(settings.sagas)
    for application in applications:
        if application.settings is not None:
            read_settings(application.settings)
    return applications, {
        one.name: one.seal(settings.defaults)
        for application in applications
        for saga in application.sagas
        for one in saga.family()
    }


@asynccontextmanager
async def core(
    settings: Settings, role: str, statement_seconds: float = COMMAND_SECONDS, lock_seconds: float | None = None
) -> AsyncGenerator[Core]:
    """Connect to both servers, which may come up while we wait."""
    if settings.database_url is None or settings.redis is None:
        raise SettingsError(
            "DATABASE_URL and REDIS_URL (or REDIS_HOST) are needed: set them, or use `amends up`, which has its own"
        )
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


async def run_orchestrator(settings: Settings) -> None:
    """Run an orchestrator until SIGTERM."""
    async with core(settings, "orchestrator") as made:
        orchestrator = Orchestrator(made.store, made.streams, LoopClock(), made.engine, made.publisher)
        _on_stop(orchestrator.stop)
        _ready(settings)
        await orchestrator.run()


async def run_worker(settings: Settings) -> None:
    """Run a worker until SIGTERM; what runs then is ended within the drain's limit."""
    async with core(settings, "worker") as made, AsyncExitStack() as stack, made.publisher.running():
        resources = await _open_resources(made.sagas, stack)
        threads = ThreadPoolExecutor(settings.concurrency, "amends-handler")

        async def run_in_thread(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
            return await asyncio.get_running_loop().run_in_executor(threads, partial(function, **arguments))

        here = Surroundings(
            resources, PostgresTransactions(made.store.pool), run_in_thread, settings.injected, worker=made.name
        )
        numbers = WorkerNumbers(settings.concurrency, drain_seconds=settings.drain_timeout)
        worker = Worker(made.streams, made.store, made.sagas, here, made.engine, numbers)
        registry = Registry(made.store.asking, made.name, worker.queues, _handlers(made.sagas))
        _on_stop(worker.drain)
        _ready(settings)
        try:
            async with beside(_every(HEARTBEAT_SECONDS, registry.beat)):
                await worker.run()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            await registry.leave()


async def run_reconciler(settings: Settings) -> None:
    """Run a reconciler until SIGTERM; of several one is at work."""
    async with core(settings, "reconciler") as made, made.publisher.running():
        reconciler = _reconciler(made)
        _on_stop(reconciler.stop)
        _ready(settings)
        await reconciler.run()


async def reconcile(settings: Settings, *, report_only: bool) -> Report:
    """Let a reconciler look once, and put right what it can.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with core(settings, "reconcile") as made:
        if report_only:
            return await _reconciler(made).run_once(report_only=True)
        async with made.publisher.running():
            return await _reconciler(made).run_once()


def _reconciler(made: Core) -> Reconciler:
    return Reconciler(
        made.store, PostgresEvidence(made.store.pool), made.engine, LoopClock(), made.streams.oldest_outcome
    )


async def run_notifier(settings: Settings) -> None:
    """Fill the projections until SIGTERM; forget what keyed requests were answered a day ago, and lost workers."""
    async with core(settings, "notifier") as made:
        projections = [projection for app in made.applications for projection in app.projections]
        projector = Projector(made.store, projections, LoopClock())
        _on_stop(projector.stop)
        _ready(settings)
        requests = _every(FORGET_SECONDS, Requests(made.store.asking).forget)
        workers = _every(FORGET_SECONDS, partial(forget_workers, made.store.asking))
        async with beside(requests), beside(workers):
            await projector.run()


async def run_api(settings: Settings) -> None:
    """Serve the API until SIGTERM."""
    if settings.api_key is None:
        raise SettingsError("AMENDS_API_KEY is needed: set it to 16 characters or more that only callers know")
    async with core(settings, "api", API_STATEMENT_SECONDS, API_LOCK_SECONDS) as made, made.publisher.running():
        requests = Requests(made.store.asking)
        backend = Backend(made.store, made.store.pool, made.engine, made.streams, made.sagas, requests)
        try:
            app = make_app(backend, made.applications, settings.api_key, partial(ping, settings.redis or ""))
            async with listening(app, settings.host, settings.port) as url:
                log.info("the API listens on %s", url)
                stopping = asyncio.Event()
                _on_stop(stopping.set)
                _ready(settings, url)
                await stopping.wait()
        finally:
            await backend.close()


async def _every(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
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


async def _open_resources(sagas: Mapping[str, Sealed], stack: AsyncExitStack) -> dict[type, object]:
    """Make what handlers take. A type without a factory is named; steps that need it are refused (def_R5)."""
    wanted = {
        kind for sealed in sagas.values() for bound in sealed.handlers.values() for kind in bound.resources.values()
    }
    known = factories()
    for kind in sorted(wanted - known.keys(), key=lambda kind: kind.__qualname__):
        log.warning(
            "no factory for %s: steps that take it are not run here; call amends.resource(...)", kind.__qualname__
        )
    return {kind: await stack.enter_async_context(known[kind]()) for kind in wanted if kind in known}


def _handlers(sagas: Mapping[str, Sealed]) -> list[str]:
    return sorted(f"{name}.{step}:{role}" for name, sealed in sagas.items() for step, role in sealed.handlers)


def _on_stop(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stop)


def _ready(settings: Settings, word: str = "ready") -> None:
    """Tell the supervisor, if there is one."""
    if settings.ready_fd is not None:
        with open(settings.ready_fd, "w", encoding="utf-8") as pipe:  # noqa: PTH123 - a file descriptor
            pipe.write(f"{word}\n")

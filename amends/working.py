"""The worker as a service: it knows sagas, opens what their handlers take, and says that it lives."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from amends.settings import Settings
from amends.wiring import core, every, on_stop, ready
from consumers.effects import PostgresTransactions
from consumers.execution import Surroundings
from consumers.worker import Worker, WorkerNumbers
from eventstore.workers import Registry
from orchestrator.publisher import beside
from sagas.resources import factories
from sagas.seal import Sealed

log = logging.getLogger("amends")

HEARTBEAT_SECONDS = 30.0


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
        on_stop(worker.drain)
        ready(settings)
        try:
            async with beside(every(HEARTBEAT_SECONDS, registry.beat)):
                await worker.run()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            await registry.leave()


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

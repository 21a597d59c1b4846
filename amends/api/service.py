"""The API as a service."""

import asyncio
import logging
from functools import partial

from amends.api.app import make_app
from amends.api.server import listening
from amends.backend import Backend
from amends.settings import Settings, SettingsError
from amends.wiring import core, on_stop, ready
from consumers.wire import ping
from eventstore.requests import Requests

log = logging.getLogger("amends")

API_STATEMENT_SECONDS = 2.5
"""Who asks the API is told within twice that time that the database does not answer."""
API_LOCK_SECONDS = 0.1
"""A start whose key somebody holds in an open transaction of his own (rule A4) so holds up no other for long."""


async def run_api(settings: Settings) -> None:
    """Serve the API until SIGTERM."""
    if settings.api_key is None:
        raise SettingsError("AMENDS_API_KEY is needed: set it to 16 characters or more that only callers know")
    async with core(settings, "api", API_STATEMENT_SECONDS, API_LOCK_SECONDS) as made, made.publisher.running():
        requests = Requests(made.store.asking)
        backend = Backend(
            made.store, made.store.pool, made.engine, made.streams, made.sagas, requests, settings.archive
        )
        try:
            app = make_app(backend, made.applications, settings.api_key, partial(ping, settings.redis or ""))
            async with listening(app, settings.host, settings.port) as url:
                log.info("the API listens on %s", url)
                stopping = asyncio.Event()
                on_stop(stopping.set)
                ready(settings, url)
                await stopping.wait()
        finally:
            await backend.close()

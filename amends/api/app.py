"""The API process: routes of Amends and of its applications, behind one guard."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from amends.api import sagas
from amends.api.callers import Callers, demand
from amends.api.guard import answer, guard, unavailable
from amends.application import App, Role, Route
from amends.backend import Backend
from eventstore.keys import Keys
from sagas.ports import StoreUnavailable

log = logging.getLogger("amends.api")

OPEN_PATHS = frozenset({"/livez", "/readyz"})
READY_SECONDS = 2.0
RouteHandler = Callable[[web.Request, Backend], Awaitable[web.StreamResponse]]

ROUTES = (
    Route("GET", "/api/sagas", sagas.list_all, "viewer"),
    Route("POST", "/api/sagas", sagas.start, "producer"),
    Route("GET", "/api/sagas/{id}", sagas.show, "viewer"),
    Route("GET", "/api/sagas/{id}/events", sagas.events, "viewer"),
    Route("POST", "/api/sagas/{id}/cancel", sagas.cancel, "operator"),
)


def make_app(backend: Backend, applications: Sequence[App], api_key: str) -> web.Application:
    """The API's aiohttp application."""
    routes = [*ROUTES, *(route for application in applications for route in application.routes)]
    callers = Callers(api_key, Keys(backend.database).find)
    app = web.Application(
        middlewares=[guard(callers, OPEN_PATHS)], client_max_size=max(route.body_bytes_max for route in routes)
    )
    for route in routes:
        handle = _bound(route.handler, backend, route.role)
        if route.method == "GET":
            app.router.add_get(route.path, handler=handle)  # HEAD too
        else:
            app.router.add_route(route.method, route.path, handle)
    app.router.add_get("/livez", _live)
    app.router.add_get("/readyz", _bound(_ready, backend))
    return app


def _bound(
    handler: RouteHandler, backend: Backend, role: Role | None = None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if role is not None:
            demand(request, role)
        return await handler(request, backend)

    return handle


async def _live(request: web.Request) -> web.Response:
    """The process answers."""
    return answer({"status": "alive"})


async def _ready(request: web.Request, backend: Backend) -> web.Response:
    """The database answers, so requests can be taken. Redis is not needed for that."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await backend.store.now()
    except (StoreUnavailable, TimeoutError) as away:
        log.warning("not ready: %s", away)
        problem = unavailable()
        problem.members["database"] = "away"
        raise problem from away
    return answer({"status": "ready", "database": "connected"})

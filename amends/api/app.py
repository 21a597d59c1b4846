"""The API process: routes of Amends and of its applications, behind one guard."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from amends.api import health, sagas
from amends.api.callers import Callers, demand
from amends.api.guard import guard
from amends.api.health import Health, Ping
from amends.api.metrics import Metrics
from amends.api.openapi import Description
from amends.application import App, Role, Route
from amends.backend import Backend
from eventstore.keys import Keys

RouteHandler = Callable[[web.Request, Backend], Awaitable[web.StreamResponse]]

ROUTES = (
    Route("GET", "/api/sagas", sagas.list_all, "viewer"),
    Route("POST", "/api/sagas", sagas.start, "producer"),
    Route("GET", "/api/sagas/{id}", sagas.show, "viewer"),
    Route("GET", "/api/sagas/{id}/events", sagas.events, "viewer"),
    Route("POST", "/api/sagas/{id}/cancel", sagas.cancel, "operator"),
)
OPEN_ROUTES = (Route("GET", "/livez", health.live), Route("GET", "/readyz", health.ready))


def make_app(backend: Backend, applications: Sequence[App], api_key: str, ping: Ping) -> web.Application:
    """The API's aiohttp application. `ping` asks Redis."""
    servers = Health(ping)
    routes = [*ROUTES, Route("GET", "/api/metrics", Metrics(servers).scrape, "viewer")]
    routes += [route for application in applications for route in application.routes]
    open_routes = [*OPEN_ROUTES, Route("GET", "/api/health/redis", servers.redis)]
    open_routes.append(Route("GET", "/openapi.json", Description(routes, open_routes).show))
    callers = Callers(api_key, Keys(backend.database).find)
    app = web.Application(
        middlewares=[guard(callers, frozenset(route.path for route in open_routes))],
        client_max_size=max(route.body_bytes_max for route in routes),
    )
    for route in routes:
        _add(app, route, _bound(route.handler, backend, route.role))
    for route in open_routes:
        _add(app, route, _bound(route.handler, backend))
    return app


def _add(app: web.Application, route: Route, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
    if route.method == "GET":
        app.router.add_get(route.path, handler=handle)  # HEAD too
    else:
        app.router.add_route(route.method, route.path, handle)


def _bound(
    handler: RouteHandler, backend: Backend, role: Role | None = None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if role is not None:
            demand(request, role)
        return await handler(request, backend)

    return handle

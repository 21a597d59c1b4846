"""The API process: routes of Amends and of its applications, behind one guard."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from amends.api import batches, health, requests, sagas, schemas, starts
from amends.api.bodies import demand_known
from amends.api.callers import Callers, demand
from amends.api.guard import guard
from amends.api.health import Health, Ping
from amends.api.metrics import Metrics
from amends.api.openapi import Description
from amends.application import App, Role, Route
from amends.backend import Backend
from eventstore.keys import Keys

LIST = {
    "definition": schemas.TEXT,
    "status": schemas.STATUS,
    "key": schemas.TEXT,
    "keyPrefix": schemas.TEXT,
    "waiting": schemas.WAITING,
    "cursor": schemas.TEXT,
    "limit": schemas.limit(sagas.PAGE_MAX, sagas.PAGE),
}
EVENTS = {"cursor": schemas.TEXT, "limit": schemas.limit(sagas.EVENTS_MAX, sagas.EVENTS)}
ROUTES = (
    Route("GET", "/api/sagas", sagas.list_all, "viewer", query=LIST, answers={200: schemas.page_of(schemas.SUMMARY)}),
    Route(
        "POST", "/api/sagas", starts.start, "producer",
        body=schemas.START, answers={201: schemas.STARTED, 200: schemas.STARTED},
    ),
    Route(
        "POST", "/api/sagas/batch", starts.start_many, "producer",
        body=schemas.STARTS, answers={200: schemas.STARTED_MANY},
    ),
    Route("GET", "/api/sagas/{id}", sagas.show, "viewer", answers={200: schemas.SAGA}),
    Route(
        "GET", "/api/sagas/{id}/events", sagas.events, "viewer",
        query=EVENTS, answers={200: schemas.page_of(schemas.EVENT)},
    ),
    *(
        Route("POST", f"/api/sagas/{verb}", handler, "operator", body=schemas.SOME, answers={200: schemas.SOME_DONE})
        for verb, handler in (("hold", batches.hold_some), ("release", batches.release_some))
    ),
    Route(
        "POST", "/api/sagas/{id}/signals/{name}", requests.send, "producer",
        body=schemas.SIGNAL, answers={200: schemas.SAGA},
    ),
    *(
        Route("POST", f"/api/sagas/{{id}}/{verb}", handler, "operator", body=body, answers={200: schemas.SAGA})
        for verb, handler, body in (
            ("cancel", requests.cancel, schemas.ASKED),
            ("hold", requests.hold, schemas.ASKED),
            ("release", requests.release, schemas.ASKED),
            ("retry", requests.retry, schemas.RETRY),
            ("correct", requests.correct, schemas.CORRECT),
            ("resolve", requests.resolve, schemas.RESOLVE),
            ("migrate", requests.migrate, schemas.MIGRATE),
        )
    ),
)  # fmt: skip
OPEN_ROUTES = (
    Route("GET", "/livez", health.live, answers={200: schemas.ALIVE}),
    Route("GET", "/readyz", health.ready, answers={200: schemas.READY}),
)


def make_app(backend: Backend, applications: Sequence[App], api_key: str, ping: Ping) -> web.Application:
    """The API's aiohttp application. `ping` asks Redis."""
    servers = Health(ping)
    routes = [*ROUTES, Route("GET", "/api/metrics", Metrics(servers).scrape, "viewer")]
    routes += [route for application in applications for route in application.routes]
    open_routes = [*OPEN_ROUTES, Route("GET", "/api/health/redis", servers.redis, answers={200: schemas.REDIS})]
    open_routes.append(Route("GET", "/openapi.json", Description(routes, open_routes).show))
    callers = Callers(api_key, Keys(backend.database).find)
    app = web.Application(
        middlewares=[guard(callers, frozenset(route.path for route in open_routes))],
    )
    for route in routes:
        _add(app, route, _bound(route, backend, route.role))
    for route in open_routes:
        _add(app, route, _bound(route, backend))
    return app


def _add(app: web.Application, route: Route, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
    if route.method == "GET":
        app.router.add_get(route.path, handler=handle)  # HEAD too
    else:
        app.router.add_route(route.method, route.path, handle)


def _bound(
    route: Route, backend: Backend, role: Role | None = None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if role is not None:
            demand(request, role)
            demand_known(request, route.query)
        return await route.handler(request.clone(client_max_size=route.body_bytes_max), backend)

    return handle

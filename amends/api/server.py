"""The listening side of the API: whatever arrives, even what is no HTTP, is answered with a problem document."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import http_exceptions, web

from amends.api.guard import answering, new_request_id, problem_response
from amends.problems import Problem, field_problem

log = logging.getLogger("amends.api")
access = logging.getLogger("amends.api.access")
access.disabled = True  # a line for each request would cost more than the request

SHUTDOWN_SECONDS = 10.0
MESSAGE_CHARACTERS_MAX = 300
FIELDS: dict[type[Exception], tuple[str, str]] = {
    http_exceptions.LineTooLong: ("request", "send a path and headers of at most 8,190 bytes each"),
    http_exceptions.InvalidURLError: ("path", "percent-encode the path"),
    http_exceptions.BadHttpMethod: ("method", "use one of the methods of the reference"),
    http_exceptions.PayloadEncodingError: ("body", "send the body as its headers say"),
}


class ListenError(Exception):
    """The address cannot be listened on; the text says why and what to do."""


class Connection(web.RequestHandler):
    """One connection. What its parser refuses, no route and no middleware ever sees."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem document, after which the connection is closed."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer is sent already")
        if status < 500:
            problem = malformed(exc, message or "", status)
            log.info("refused a request that is no HTTP: %s", problem.detail)
        else:
            problem = Problem(status, "Internal error", "this is our fault; the request id finds it in the log")
            log.error("a request failed outside every route", exc_info=exc)
        response = problem_response(problem, new_request_id())
        response.force_close()
        return response


def malformed(error: BaseException | None, message: str, status: int = 400) -> Problem:
    """What the parser refused, and where."""
    place, remedy = next(
        (entry for kind, entry in FIELDS.items() if isinstance(error, kind)), ("request", "send valid HTTP/1.1")
    )
    said = " ".join(message.split())[:MESSAGE_CHARACTERS_MAX]
    return field_problem(status, "Malformed request", place, f"is no valid HTTP: {said}", remedy)


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncGenerator[str]:
    """Serve the application; the URL. At the end requests in flight are let end.

    Raises:
        ListenError: the address cannot be listened on.
    """
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    connections = runner.server
    assert connections is not None, "a runner that is set up has a server"
    connections.request_handler = answering(connections.request_handler)
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: Connection(connections, loop=loop, access_log=access, auto_decompress=False),
            host, port, backlog=1024, reuse_address=True,
        )  # fmt: skip
    except OSError as taken:
        await runner.cleanup()
        raise ListenError(
            f"cannot listen on {host}:{port}: {taken.strerror}\n"
            "  remedy: end what listens there, or name another address with --port, AMENDS_PORT or AMENDS_HOST"
        ) from taken
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await runner.cleanup()

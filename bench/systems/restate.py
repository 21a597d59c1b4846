"""Restate, with its SDK for Python."""

import socket
import sys
from contextlib import closing
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from amends.demo import bare_environment
from bench.systems.packages import environment, interpreter, lacks_node, lacks_python, module, program
from bench.systems.system import About, Part, Round

SCOPE = "@restatedev"
PROCESSES = 2
ASK_SECONDS = 2.0


class Restate:
    """Its server with the defaults, which sync its log, and a service under granian."""

    about = About(
        processes=f"server (all cores), service ({PROCESSES}), client over HTTP",
        keeps="the invocation and the result of each step, in its own log on disk, before the next step",
        lacks="a history once the invocation has ended; a handler is code that is run again, not data",
        ends="by the answer to its HTTP request",
        package="@restatedev/restate-server",
        postgres=False,
    )

    def missing(self, peers: Path) -> str | None:
        """The server, and the packages of the service."""
        return (
            lacks_node(peers, f"{SCOPE}/restate-server")
            or lacks_python(peers, "restate")
            or lacks_python(peers, "granian")
        )

    async def prepare(self, asked: Round) -> None:
        """Nothing: it has a folder of its own."""

    def parts(self, asked: Round) -> list[Part]:
        """The server and the service."""
        service, ingress, admin, node = asked.ports
        (binary,) = module(asked.peers, SCOPE).glob("restate-server-*/bin/restate-server")
        told = {
            **bare_environment(),
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_IP": "127.0.0.1",
            "RESTATE_BIND_PORT": str(node),
            "RESTATE_INGRESS__BIND_PORT": str(ingress),
            "RESTATE_ADMIN__BIND_PORT": str(admin),
            "RESTATE_BASE_DIR": str(asked.folder / "restate"),
            "RESTATE_LOG_FILTER": "warn",
        }
        granian = (interpreter(asked.peers), "-m", "granian", "--interface", "asgi", "--http", "2", "--loop", "uvloop",
                   "--workers", str(PROCESSES), "--workers-kill-timeout", "1", "--port", str(service), "--working-dir",
                   str(Path(program("restate_service.py")).parent), "restate_service:app")  # fmt: skip
        return [
            Part("restate-server", (str(binary), "--no-logo"), told, partial(_answers, admin, "/health")),
            Part("service", granian, environment(), partial(_listens, service)),
        ]

    def clients(self, asked: Round) -> list[Part]:
        """A client over HTTP."""
        service, ingress, admin, _ = (f"http://127.0.0.1:{port}" for port in asked.ports)
        places = ("--service", service, "--ingress", ingress, "--admin", admin)
        command = (sys.executable, "-m", "bench.programs.restate_client", *asked.arguments(), *places)
        return [Part("client", command, bare_environment())]


def _answers(port: int, path: str) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=ASK_SECONDS)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False


def _listens(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(ASK_SECONDS)
        return one.connect_ex(("127.0.0.1", port)) == 0

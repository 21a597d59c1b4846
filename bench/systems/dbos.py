"""DBOS, in Python."""

from pathlib import Path

from amends.demo import bare_environment
from bench.systems.packages import interpreter, lacks_python, program
from bench.systems.system import Part, Round

POOL = 50
"""Connections; its default of 20 and 100 are slower."""


class Dbos:
    """Workflows that are started in the process that runs them: its fastest way."""

    appendfsync = "everysec"
    keeps = "the workflow and the result of each step, in PostgreSQL, before the next step runs"

    def missing(self, peers: Path) -> str | None:
        """Its package."""
        return lacks_python(peers, "dbos")

    async def prepare(self, asked: Round) -> None:
        """Nothing: it makes its tables itself."""

    def parts(self, asked: Round) -> list[Part]:
        """Nothing: the client runs the workflows."""
        return []

    def client(self, asked: Round) -> Part:
        """The application."""
        command = (interpreter(asked.peers), program("dbos_client.py"), *asked.arguments)
        return Part("client", (*command, "--database", asked.database_url, "--pool", str(POOL)), bare_environment())

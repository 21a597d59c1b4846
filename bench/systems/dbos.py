"""DBOS, in Python."""

from pathlib import Path

from amends.demo import bare_environment
from bench.systems.packages import interpreter, lacks_python, program
from bench.systems.system import Part, Round

POOL = "50"
"""Connections; its default of 20 and 100 are slower."""


class Dbos:
    """Workflows that are started in the process that runs them: its fastest way."""

    appendfsync = "everysec"
    uses_redis = False
    package = "dbos"
    keeps = "the input and the state of a workflow, and the result of each step, in PostgreSQL, before the next step"
    lacks = "attempts, causes and times of a history; a workflow is code that is run again, not data"
    ends = "in the process that runs the workflow"

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self.processes = f"{processes}, each starts and runs workflows"

    def missing(self, peers: Path) -> str | None:
        """Its package."""
        return lacks_python(peers, "dbos")

    async def prepare(self, asked: Round) -> None:
        """Nothing: it makes its tables itself."""

    def parts(self, asked: Round) -> list[Part]:
        """Nothing: the client runs the workflows."""
        return []

    def clients(self, asked: Round) -> list[Part]:
        """The application."""
        command = (interpreter(asked.peers), program("dbos_client.py"), "--database", asked.database_url, "--pool", POOL)
        return [
            Part(f"client-{number + 1}", (*command, *asked.arguments(share)), bare_environment())
            for number, share in enumerate(asked.shares(self._processes))
        ]

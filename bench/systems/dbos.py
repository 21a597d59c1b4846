"""DBOS, in Python."""

from pathlib import Path

from bench.systems.packages import environment, interpreter, lacks_python, program
from bench.systems.system import About, Part, Round

PROCESSES = 2
POOL = "50"


class Dbos:
    """Workflows that are started in the process that runs them: its fastest way."""

    about = About(
        processes=f"{PROCESSES}, each starts and runs workflows",
        keeps="the input and the state of a workflow, and the result of each step, in PostgreSQL, before the next step",
        lacks="attempts, causes and times of a history; a workflow is code that is run again, not data",
        ends="in the process that runs the workflow",
        package="dbos",
    )

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
        command = (
            interpreter(asked.peers),
            program("dbos_client.py"),
            "--database",
            asked.database_url,
            "--pool",
            POOL,
        )
        return [
            Part(f"client-{number + 1}", (*command, *asked.arguments(share)), environment())
            for number, share in enumerate(asked.shares(PROCESSES))
        ]

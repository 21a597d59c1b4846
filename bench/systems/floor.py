"""The floor of the machine: a saga's rows and messages without any engine."""

import sys
from pathlib import Path

from amends.demo import bare_environment
from bench.systems.system import About, Part, Round


class Floor:
    """One process that writes and reads what a saga needs, on the servers that Amends uses."""

    about = About(
        processes="one",
        keeps="events in PostgreSQL that nobody decides by",
        lacks="it is no engine: no state, no retry, no undo, no handler",
        ends="in its own process",
        appendfsync="everysec",
    )

    def missing(self, peers: Path) -> str | None:
        """Nothing."""
        return None

    async def prepare(self, asked: Round) -> None:
        """Nothing."""

    def parts(self, asked: Round) -> list[Part]:
        """Nothing."""
        return []

    def clients(self, asked: Round) -> list[Part]:
        """The loop."""
        servers = {"DATABASE_URL": asked.database_url, "REDIS_URL": asked.redis_url}
        command = (sys.executable, "-m", "bench.programs.floor", *asked.arguments())
        return [Part("client", command, bare_environment() | servers)]

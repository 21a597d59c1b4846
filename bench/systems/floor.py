"""The floor of the machine: a saga's rows and messages without any engine."""

import sys
from pathlib import Path

from amends.demo import bare_environment
from bench.systems.system import Part, Round


class Floor:
    """One process that writes and reads what a saga needs, on the servers that Amends uses."""

    appendfsync = "everysec"
    keeps = "events in PostgreSQL that nobody decides by; not an engine"

    def missing(self, peers: Path) -> str | None:
        """Nothing."""
        return None

    async def prepare(self, asked: Round) -> None:
        """Nothing."""

    def parts(self, asked: Round) -> list[Part]:
        """Nothing."""
        return []

    def client(self, asked: Round) -> Part:
        """The loop."""
        servers = {"DATABASE_URL": asked.database_url, "REDIS_URL": asked.redis_url}
        return Part(
            "client", (sys.executable, "-m", "bench.programs.floor", *asked.arguments), bare_environment() | servers
        )

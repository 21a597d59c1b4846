"""Amends itself, as it ships: every service of `amends up`."""

import sys
from pathlib import Path

from amends.demo import bare_environment
from bench.sagas import WORKLOADS
from bench.systems.system import About, Part, Round
from eventstore.migrate import migrate

CONCURRENCY = 200
WITHIN = "and a producer with an engine of its own"
VIA_API = "API, and a client over HTTP"
KEY = "only-the-benchmark-shows-it"


class Amends:
    """With `api` sagas are started over HTTP, otherwise by a producer with an engine of its own.

    `aged` is the same on a database as after years of use.
    """

    def __init__(self, *, api: bool, aged: bool = False) -> None:
        self._api = api
        self.about = About(
            processes="orchestrator, worker, reconciler, notifier, " + (VIA_API if api else WITHIN),
            keeps="every event of a saga, in PostgreSQL, before anything follows from it; Redis may lose everything",
            lacks="-",
            ends="reads the feed of events in PostgreSQL, every 1 to 10 ms",
            appendfsync="everysec",
            workloads=tuple(WORKLOADS),
            aged=aged,
        )

    def missing(self, peers: Path) -> str | None:
        """Nothing."""
        return None

    async def prepare(self, asked: Round) -> None:
        """Make the tables."""
        await migrate(asked.database_url)

    def parts(self, asked: Round) -> list[Part]:
        """The services."""
        names = [f"orchestrator-{number + 1}" for number in range(asked.orchestrators)]
        names += [f"worker-{number + 1}" for number in range(asked.workers)]
        names += ["reconciler", "notifier", *(["api"] if self._api else [])]
        environment = _environment(asked)
        command = (sys.executable, "-m", "amends")
        return [Part(name, (*command, name.partition("-")[0]), environment) for name in names]

    def clients(self, asked: Round) -> list[Part]:
        """The producer."""
        command = (sys.executable, "-m", "bench.programs.amends_client", *asked.arguments())
        place = ("--api", f"http://127.0.0.1:{asked.ports[0]}") if self._api else ()
        return [Part("client", (*command, *place), _environment(asked))]


def _environment(asked: Round) -> dict[str, str]:
    return {
        **bare_environment(),
        "DATABASE_URL": asked.database_url,
        "REDIS_URL": asked.redis_url,
        "AMENDS_SAGAS": "bench.sagas",
        "AMENDS_LOG_LEVEL": "WARNING",
        "AMENDS_API_KEY": KEY,
        "AMENDS_PORT": str(asked.ports[0]),
        "QUEUE_CONCURRENCY": str(CONCURRENCY),
    }

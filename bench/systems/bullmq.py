"""BullMQ, in node. `appendfsync` says how durable its Redis is."""

import shutil
from pathlib import Path

from amends.demo import bare_environment
from bench.systems.packages import lacks_node, program, says
from bench.systems.system import About, Part, Round

CONCURRENCY = 50
"""Jobs at once in a worker; 10, 25, 100 and 200 were slower."""
NODE = "node"


class Bullmq:
    """A chain of jobs: each adds its successor when it ends. It has no sagas; nobody knows where one stands."""

    def __init__(self, appendfsync: str) -> None:
        lost = "nothing" if appendfsync == "always" else "up to a second"
        self.about = About(
            processes="worker and client, of node",
            keeps=f"a job until it has ended, in Redis, of which a crash loses {lost}",
            lacks="sagas: no state of one, no history, no undo (the failing job adds it), a step may run twice unseen",
            ends="by a stream of events of the queue of last steps",
            appendfsync=appendfsync,
            package="bullmq",
            postgres=False,
        )

    def missing(self, peers: Path) -> str | None:
        """Node and its package."""
        if shutil.which(NODE) is None:
            return "node is not installed: install Node.js 20 or newer"
        return lacks_node(peers, "bullmq")

    async def prepare(self, asked: Round) -> None:
        """Nothing."""

    def parts(self, asked: Round) -> list[Part]:
        """The workers."""
        told = (node(), program("bullmq.mjs"), "worker", *_places(asked), "--concurrency", str(CONCURRENCY))
        names = [f"worker-{number + 1}" for number in range(asked.workers)]
        return [Part(name, told, bare_environment(), says("ready", asked, name)) for name in names]

    def clients(self, asked: Round) -> list[Part]:
        """The client."""
        command = (node(), program("bullmq.mjs"), "client", *_places(asked), *asked.arguments())
        return [Part("client", command, bare_environment())]


def node() -> str:
    """The program that runs it."""
    return shutil.which(NODE) or NODE


def _places(asked: Round) -> tuple[str, ...]:
    return ("--socket", asked.redis_url.removeprefix("unix://"), "--packages", str(asked.peers.absolute()))

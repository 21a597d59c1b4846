"""Celery, with Valkey for its messages and results."""

from pathlib import Path

from bench.systems.packages import environment, interpreter, lacks_python, program, says
from bench.systems.system import About, Part, Round

POOL = "solo"
CONCURRENCY = 1


class Celery:
    """A chain of tasks that are acknowledged late, so that a lost worker loses none."""

    about = About(
        processes="two workers and a client",
        keeps="a task until it has ended, in Redis, of which a crash loses up to a second",
        lacks="sagas: no state of one, no history, undo by an error link; a step may run twice unseen",
        ends="by the channel of the result backend",
        appendfsync="everysec",
        package="celery",
        postgres=False,
    )

    def missing(self, peers: Path) -> str | None:
        """Its package."""
        return lacks_python(peers, "celery")

    async def prepare(self, asked: Round) -> None:
        """Nothing."""

    def parts(self, asked: Round) -> list[Part]:
        """The workers."""
        told = (interpreter(asked.peers), program("celery_tasks.py"), _socket(asked), "--pool", POOL, "--concurrency",
                str(CONCURRENCY))  # fmt: skip
        names = [f"worker-{number + 1}" for number in range(max(asked.workers, 2))]
        return [
            Part(name, (*told, "--hostname", f"{name}@bench"), environment(), says("ready.", asked, name))
            for name in names
        ]

    def clients(self, asked: Round) -> list[Part]:
        """The client."""
        command = (
            interpreter(asked.peers),
            program("celery_client.py"),
            *asked.arguments(),
            "--socket",
            _socket(asked),
        )
        return [Part("client", command, environment())]


def _socket(asked: Round) -> str:
    return asked.redis_url.removeprefix("unix://")

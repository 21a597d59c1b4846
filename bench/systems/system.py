"""What the harness knows of a system."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.sagas import EVERYWHERE


@dataclass(frozen=True)
class Round:
    """What is to be measured, and where."""

    workload: str
    window: int
    payload: int
    """Bytes of the text that a saga takes along."""
    orchestrators: int
    warm_seconds: float
    workers: int
    database_url: str
    redis_url: str
    folder: Path
    """For what the system keeps besides; empty at the beginning, and removed at the end."""
    ports: Sequence[int]
    """Free ones, for what listens."""
    peers: Path
    """Where the packages of other systems are."""

    def arguments(self, window: int | None = None) -> tuple[str, ...]:
        """What a client is told that has this share of the window."""
        share = self.window if window is None else window
        told = {"workload": self.workload, "window": share, "payload": self.payload, "warm": self.warm_seconds}
        return tuple(word for name, value in told.items() for word in (f"--{name}", str(value)))

    def shares(self, clients: int) -> list[int]:
        """The window in as many parts as there are clients; none is empty."""
        count = min(clients, self.window)
        return [self.window // count + (number < self.window % count) for number in range(count)]


@dataclass(frozen=True)
class Part:
    """A process of a system. Without `ready` it says so itself, as the services of Amends do."""

    role: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    ready: Callable[[], bool] | None = None


@dataclass(frozen=True)
class About:
    """What the tables say of a system."""

    processes: str
    """How many there are, besides the servers."""
    keeps: str
    """What is still there when everything is killed."""
    lacks: str
    """What Amends keeps or does and this does not."""
    ends: str
    """How a client hears of the end of a saga."""
    postgres: bool = True
    """Whether it uses PostgreSQL."""
    appendfsync: str | None = None
    """How Valkey syncs its append-only file in its rounds; None: it does not use Valkey."""
    workloads: Collection[str] = tuple(EVERYWHERE)
    package: str | None = None
    """Whose version is to be told, where it is none of ours."""
    aged: bool = False
    """Whether its database is one as after years of use."""


class System(Protocol):
    """How a system is started."""

    about: About

    def missing(self, peers: Path) -> str | None:
        """What has to be installed before it can be measured; None: nothing."""
        ...

    async def prepare(self, asked: Round) -> None:
        """Make tables and whatever else must be there before its processes are."""
        ...

    def parts(self, asked: Round) -> list[Part]:
        """The processes besides the clients; they start together."""
        ...

    def clients(self, asked: Round) -> list[Part]:
        """The clients, each a process."""
        ...

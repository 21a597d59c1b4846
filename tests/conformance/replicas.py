"""Replicas that take over with an older memory: of the server in memory, and of real ones by what they can dump."""

from collections.abc import Sequence
from typing import Any, Protocol

from amends.testing.simulator.network import Link
from consumers.memory import MARKER
from consumers.memory_server import MemoryServer
from consumers.memory_streams import Memory

OTHER_RUN = "f" * 40


class Replica(Protocol):
    """Another server, which lags behind."""

    async def copy(self) -> None:
        """Have all that the first one has now."""
        ...

    async def take_over(self) -> None:
        """Answer in its place with what was copied: all connections are lost, and it is another run."""
        ...


class ReplicaInMemory:
    """A replica of the server in memory."""

    def __init__(self, server: MemoryServer, links: Sequence[Link]) -> None:
        self._server = server
        self._links = links
        self._memory = Memory()

    async def copy(self) -> None:
        self._memory = self._server.snapshot()

    async def take_over(self) -> None:
        self._server.restart(self._memory, other=True)
        for link in self._links:
            link.cut()


class RealReplica:
    """The same server with the keys that it had. It keeps its run, so the marker is of another one instead."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._dumps: dict[bytes, bytes] = {}

    async def copy(self) -> None:
        self._dumps = {key: await self._client.dump(key) for key in await self._client.keys("*")}

    async def take_over(self) -> None:
        async with self._client.pipeline(transaction=True) as batch:
            batch.flushall()
            for key, dump in self._dumps.items():
                batch.restore(key, 0, dump)
            await batch.execute()
        incarnation, _, replication = (await self._client.get(MARKER)).decode().split(":")
        await self._client.set(MARKER, f"{incarnation}:{OTHER_RUN}:{replication}")
        await self._client.client_kill_filter(_type="normal", skipme=True)
        await self._client.aclose()

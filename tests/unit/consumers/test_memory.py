"""Whose memory the server stands in (rule L7)."""

from collections.abc import Callable, Sequence
from typing import Any

from consumers.memory import ServerMemory
from consumers.memory_server import MemoryServer
from consumers.wire import Command


class FlushedOnTheWay:
    """A wire to a server that forgets everything just before the marker of a former run is replaced."""

    def __init__(self, server: MemoryServer, *, flushes: int) -> None:
        self.on_connect: list[Callable[[], None]] = []
        self._server = server
        self._flushes = flushes

    async def many(self, commands: Sequence[Command]) -> list[Any]:
        if commands[0][0] == "EVAL" and self._flushes:
            self._flushes -= 1
            self._server.flush()
        return [self._server.execute(command) for command in commands]


async def test_a_server_that_is_flushed_between_the_look_and_the_replacing_is_looked_at_again() -> None:
    """Found by seed 20205: it ended the worker that looked."""
    server = MemoryServer(lambda: 0.0)
    names = iter(("former", "lost", "new"))
    former: Any = FlushedOnTheWay(server, flushes=0)
    await ServerMemory(former, lambda: next(names)).meet()
    server.restart()
    wire: Any = FlushedOnTheWay(server, flushes=1)
    memory = ServerMemory(wire, lambda: next(names))
    await memory.meet()
    assert memory.incarnation == "new"

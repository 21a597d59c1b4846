"""How old a command is when its worker has it (rule C3)."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

from amends.clock import LoopClock
from amends.testing.simulator.network import Connection, Link, RunningLoop, StreamsServer
from amends.testing.virtual import run_virtual
from consumers.keys import SET_ASIDE, command_key
from consumers.memory_server import MemoryServer
from consumers.stream import RedisStreams
from consumers.wire import Command, Connected
from tests.conformance.transports import COMMAND

STALL_SECONDS = 3.0


class SlowConnection(Connection):
    """Takes long to set an entry aside."""

    async def ask(self, batch: Sequence[Command]) -> list[Any]:
        """As the other, and then late."""
        answers = await super().ask(batch)
        if SET_ASIDE in batch[0]:
            await LoopClock().sleep(STALL_SECONDS)
        return answers


class SlowServer(StreamsServer):
    """A server that stands still now and then."""

    def connection(self, seconds: float, connected: Connected) -> Connection:
        """A connection to it."""
        return SlowConnection(self._server, self._link, seconds, connected)


def test_what_is_read_behind_an_entry_that_was_set_aside_is_as_old_as_it_is_then() -> None:
    async def drive() -> None:
        loop = asyncio.get_running_loop()
        server = MemoryServer(lambda: 1_767_225_600.0 + loop.time())
        streams = RedisStreams(SlowServer(server, Link(RunningLoop(), None, Random(1)), lambda: "name"), "worker")
        await streams.open([COMMAND.queue])
        assert await streams.read(1, 0.0) == []
        server.execute(("XADD", command_key(COMMAND.queue, COMMAND.priority), "*", "b", b"torn"))
        await streams.publish([COMMAND], loop.time() + 1)
        (delivery,) = await streams.read(2, 0.0)
        assert loop.time() - delivery.sent_at >= STALL_SECONDS

    run_virtual(drive)

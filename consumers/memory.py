"""Whose memory the streams stand in: a marker in the server tells, together with the server's own run (rule L7).

A server that was flushed has no marker; one that was started again, or took over from another, has another run: it may
remember less than it did. Either way the marker is written anew, and entries of the old incarnation are never run.
Clients connect again without a word, so each new connection is a doubt, and a look asks for the run as well.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from consumers.wire import Wire
from sagas.ports import TransportUnavailable

log = logging.getLogger("amends.stream")

MARKER = "amends:{marker}"
REPLACE = """
-- KEYS[1]: the marker, as incarnation:run:replication. ARGV[1]: what it was ('' for none), ARGV[2]: what it becomes.
if (redis.call('GET', KEYS[1]) or '') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
"""
MEETINGS_MAX = 5
MemoryLost = Callable[[str], Awaitable[object]]


class ServerMemory:
    """What one process knows of the server's memory. `incarnation` is empty until it is met, and after a doubt.

    `name` gives a name that no memory had before.
    """

    def __init__(self, wire: Wire, name: Callable[[], str]) -> None:
        self.incarnation = ""
        self.on_lost: list[MemoryLost] = []
        self._wire = wire
        self._name = name
        self._known = ""
        self._doubts = 0
        self._offset = 0.0
        wire.on_connect.append(self.doubt)

    def now(self) -> float:
        """The server's clock, in seconds since 1970."""
        return asyncio.get_running_loop().time() + self._offset

    def doubt(self) -> None:
        """The connection is lost, or new, or the marker is another: meet the server before the next command."""
        self.incarnation = ""
        self._doubts += 1

    def glance(self, marker: Any) -> None:
        """Compare a marker that was read in passing."""
        if self.incarnation and (
            not isinstance(marker, bytes) or marker.partition(b":")[0] != self.incarnation.encode()
        ):
            self.doubt()

    async def meet(self) -> None:
        """Learn which memory this is, and the server's clock; tell `on_lost` of another one than before.

        Raises:
            TransportRefused: the marker is missing and cannot be written. TransportUnavailable: there is no answer.
        """
        for _ in range(MEETINGS_MAX):
            doubts = self._doubts
            met = await self._ask()
            if self._known not in ("", met):
                log.warning("the server has another memory than before")
                self.incarnation = ""  # to be met again, should a call fail
                for call in self.on_lost:
                    await call(met)
            self._known = met
            if doubts == self._doubts:  # else a connection was made meanwhile, maybe to another memory
                self.incarnation = met
                return
        raise TransportUnavailable(f"no connection lasts: {MEETINGS_MAX} were made one after the other")

    async def _ask(self) -> str:
        """Which incarnation this is; a marker that another run wrote is replaced."""
        questions = [("GET", MARKER), ("INFO", "server"), ("INFO", "replication"), ("TIME",)]
        marker, server, replication, (seconds, micros) = await self._wire.many(questions)
        self._offset = int(seconds) + int(micros) / 1e6 - asyncio.get_running_loop().time()
        run = f"{_field(server, 'run_id')}:{_field(replication, 'master_replid')}"
        found = marker.decode() if marker is not None else ""
        if found.partition(":")[2] != run:
            (written,) = await self._wire.many([("EVAL", REPLACE, 1, MARKER, found, f"{self._name()}:{run}")])
            if written is None:
                return await self._ask()  # it was flushed between the look and the replacing
            found = written.decode()
        return str(found.partition(":")[0])

    async def lost(self) -> None:
        """Something is missing though the marker is as before: tell `on_lost` all the same."""
        for call in self.on_lost:
            await call("")


def _field(text: bytes, name: str) -> str:
    """One field of what INFO says."""
    for line in text.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""

"""Whose memory the streams stand in: a marker in the server tells, together with the server's own run (rule L7).

A server that was flushed has no marker; one that was started again, or took over from another, has another run: it may
remember less than it did. Either way the marker is written anew, and entries of the old incarnation are never run.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from consumers.wire import Wire

log = logging.getLogger("amends.stream")

MARKER = "amends:{marker}"
REPLACE = """
-- KEYS[1]: the marker, as incarnation:run:replication. ARGV[1]: what it was ('' for none), ARGV[2]: what it becomes.
if (redis.call('GET', KEYS[1]) or '') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
"""
MemoryLost = Callable[[str], Awaitable[object]]


class ServerMemory:
    """What one process knows of the server's memory. `incarnation` is empty until it is met, and after a doubt."""

    def __init__(self, wire: Wire) -> None:
        self.incarnation = ""
        self.on_lost: list[MemoryLost] = []
        self._wire = wire
        self._known = ""
        self._offset = 0.0

    def now(self) -> float:
        """The server's clock, in seconds since 1970."""
        return time.monotonic() + self._offset

    def doubt(self) -> None:
        """The connection was lost, or the marker is another: meet the server before the next command."""
        self.incarnation = ""

    async def look(self) -> None:
        """Read the marker alone; one command a second is enough for all that read in blocks."""
        (marker,) = await self._wire.many([("GET", MARKER)])
        self.glance(marker)
        if not self.incarnation:
            await self.meet()

    def glance(self, marker: Any) -> None:
        """Compare a marker that was read in passing."""
        if not isinstance(marker, bytes) or marker.decode().partition(":")[0] != self.incarnation:
            self.doubt()

    async def meet(self) -> None:
        """Learn which memory this is, and the server's clock; tell `on_lost` of another one than before.

        Raises:
            TransportRefused: the marker is missing and cannot be written. TransportUnavailable: there is no answer.
        """
        questions = [("GET", MARKER), ("INFO", "server"), ("INFO", "replication"), ("TIME",)]
        marker, server, replication, (seconds, micros) = await self._wire.many(questions)
        self._offset = int(seconds) + int(micros) / 1e6 - time.monotonic()
        run = f"{_field(server, 'run_id')}:{_field(replication, 'master_replid')}"
        found = marker.decode() if marker is not None else ""
        if found.partition(":")[2] != run:
            (written,) = await self._wire.many([("EVAL", REPLACE, 1, MARKER, found, f"{uuid4().hex}:{run}")])
            found = written.decode()
        self.incarnation = found.partition(":")[0]
        if self._known not in ("", self.incarnation):
            log.warning("the server has another memory than before")
            met, self.incarnation = self.incarnation, ""  # to be met again, should a call fail
            for call in self.on_lost:
                await call(met)
            self.incarnation = met
        self._known = self.incarnation

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

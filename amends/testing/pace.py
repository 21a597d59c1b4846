"""How a run passes its time: it looks when something has changed, and skips the time in which nothing can."""

import asyncio

from amends.testing.virtual import VirtualLoop
from eventstore.memory import MemoryStore
from sagas.ports import Move
from sagas.state import COMMAND_KINDS, State

EPOCH = 1_767_225_600.0
LEASE_SECONDS = 4.0
SETTLE_SECONDS = 3.0
"""After a change things are let happen at their own pace: what was sent is confirmed, who runs says so."""
MARGIN_SECONDS = 2 * LEASE_SECONDS
"""Skipping looks like an outage to the timers, which leave one lease of grace after it (rule A11)."""


class WatchedStore(MemoryStore):
    """A store on a loop's virtual time that says when it has changed, and until when it cannot."""

    def __init__(self, loop: VirtualLoop, until: float) -> None:
        super().__init__(lambda: EPOCH + loop.time())
        self.changed = asyncio.Event()
        self._loop = loop
        self._until = until
        self._changed_at = 0.0

    def everything(self) -> list[State]:
        """The heads of all sagas, while none owes another a message; before, nothing has ended."""
        owing = any(row.kind == "notify" for row in self._waits.values())
        return [] if owing else list(self._heads.values())

    def quiet_until(self) -> float:
        """The instant of the loop before which nothing can become due."""
        if self._loop.time() - self._changed_at < SETTLE_SECONDS:
            return 0.0
        moments = [self._until, *self._loop.timers_of_handlers()]
        for row in self._waits.values():
            early = 2 * LEASE_SECONDS + 2.0 if row.kind in COMMAND_KINDS else 0.0  # a call ends before it is checked
            moments.append(row.due_at - EPOCH - early)
        return min(moments) - MARGIN_SECONDS

    def _apply(self, move: Move) -> None:
        super()._apply(move)
        self._changed_at = self._loop.time()
        self.changed.set()

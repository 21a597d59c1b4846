"""The worker's side of the transport, as a port: the in-process adapter and Redis Streams stand behind it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from sagas.inputs import Word
from sagas.ports import Command
from sagas.records import record


@record
class CommandDelivery:
    """A command as it was handed out. `entry` acknowledges it.

    `first_sent` is false for one that was handed out before; `current` for one of another incarnation of the server's
    memory; `sent_at` is when it was sent, by the clock of the loop (rule C3). `claimed` is true for one that may have
    been another consumer's before, who may have entered it.
    """

    entry: str
    command: Command
    first_sent: bool = True
    sent_at: float = 0.0
    current: bool = True
    claimed: bool = False


class LeaseKeeper(Protocol):
    """Keeps the leases of running commands, whatever their handlers do (rule L1)."""

    def hold(self, entry: str) -> None:
        """Renew this entry from now on."""
        ...

    def release(self, entry: str) -> None:
        """Stop renewing it."""
        ...

    async def renew(self) -> None:
        """Renew at once, before anything else is done (rule L4)."""
        ...

    def close(self) -> None:
        """Stop renewing anything."""
        ...


class CommandReceiver(Protocol):
    """Raises `TransportUnavailable` when there is no answer, `TransportRefused` when a write is refused."""

    async def open(self, queues: Sequence[str]) -> None:
        """Take part in these queues' consumer groups; they are made where they are missing."""
        ...

    async def read(self, count: int, block_seconds: float) -> list[CommandDelivery]:
        """Up to `count` new commands, those of high priority first (rule C4).

        When there were none it waits, and may give one of each stream, which may be more.
        """
        ...

    async def own_pending(self) -> list[CommandDelivery]:
        """What was handed out to this consumer and not acknowledged (rule C6)."""
        ...

    async def idle(self, idle_seconds: float, count: int) -> list[CommandDelivery]:
        """Take over what nobody has renewed for so long (rule L2)."""
        ...

    async def send(self, words: Sequence[Word]) -> None:
        """Put outcomes into their stream, in one round trip."""
        ...

    async def settle(self, entries: Sequence[str]) -> list[bool]:
        """Acknowledge and delete commands; False for one that was no longer ours (rule C5)."""
        ...

    def on_memory_lost(self, call: Callable[[str], Awaitable[object]]) -> None:
        """Have it called when the server is found to have another memory, with its incarnation (rule L7)."""
        ...

    def keeper(self, lost: Callable[[str], None]) -> LeaseKeeper:
        """Begin to keep leases; `lost` is called, in the event loop, with an entry whose lease is gone (rule L3)."""
        ...

    async def close(self) -> None:
        """Leave the groups and end all connections."""
        ...

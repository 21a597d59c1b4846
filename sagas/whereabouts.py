"""Where the entries of commands are: with what stands unread, all that a verdict on a command asks for (A11, L5)."""

from collections.abc import Sequence
from typing import Literal, Protocol

from sagas.manifest import Priority
from sagas.records import record
from sagas.unread import Outcomes


class Posted(Protocol):
    """What names the entry of a command."""

    @property
    def queue(self) -> str | None:
        """Its queue."""
        ...

    @property
    def priority(self) -> Priority | None:
        """Its priority."""
        ...

    @property
    def entry_id(self) -> str | None:
        """Its place in their stream."""
        ...


@record
class EntryState:
    """Where a command's entry is; `timeout` is how long its handler may run, where the entry is still there."""

    place: Literal["queued", "pending", "gone"]
    timeout: float = 0.0


GONE = EntryState("gone")


class Whereabouts(Outcomes, Protocol):
    """What is asked before somebody says that a command is lost."""

    async def inspect(self, waits: Sequence[Posted]) -> list[EntryState]:
        """Where the entries of published commands are: still queued, pending, or neither (rule L5).

        Raises:
            TransportUnavailable: there was no answer.
        """
        ...

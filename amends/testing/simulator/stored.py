"""The store, each commit of which is checked; it remembers since when commands that are over were owed."""

from collections.abc import Callable, Sequence

from amends.testing.simulator.owed import Messages
from eventstore.memory import MemoryStore
from sagas.events import Json
from sagas.ports import Committed, Move
from sagas.state import COMMAND_KINDS, Value, Waiting


class CheckedStore(MemoryStore):
    """A store that tells of each saga's move. `now` is its clock, in seconds since 1970."""

    def __init__(self, now: Callable[[], float], commits: Callable[[Move], None], messages: Messages) -> None:
        super().__init__(now)
        self.taking_seconds = 0.0
        """How long the append has taken that is committed now."""
        self._commits = commits
        self._messages = messages
        self._owed: dict[Waiting, float] = {}

    def at(self, saga_id: str, value: Value) -> Json:
        """What stands behind a reference."""
        return self._value(saga_id, value)

    def owed_since(self, saga_id: str, opened_by: int) -> float | None:
        """Since when this command is, or was, to be sent; None if it never was."""
        row = self._waits.get((saga_id, opened_by))
        return self._owed.get((saga_id, opened_by)) if row is None else row.since

    async def append(self, moves: Sequence[Move]) -> Committed:
        """Append to sagas whose version is the expected one."""
        committed = await super().append(moves)
        for move in moves:
            if move.saga_id not in committed.moved:
                self._messages.loses(move)
        return committed

    def _apply(self, move: Move) -> None:
        for opened_by in move.waits_gone:
            row = self._waits.get((move.saga_id, opened_by))
            if row is not None and row.kind in COMMAND_KINDS:
                self._owed[move.saga_id, opened_by] = row.since
        super()._apply(move)
        self._messages.commits(move, self.outbox)
        self._commits(move)

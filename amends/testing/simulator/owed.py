"""What is owed to the outside: each move brings a message, which stands exactly if the move does (rule A3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sagas.ports import Move, OutboxRow
from sagas.state import State

RULE = "A3: a message stands exactly if its move does"
TOO_LATE = "a message came too late, with its move"
Owed = Sequence[tuple[str, OutboxRow]]


def with_messages(moves: Sequence[Move]) -> list[Move]:
    """The same moves, each with a message that names the versions between which it moves its saga."""
    return [replace(move, outbox=(OutboxRow("moved", _of(move)),)) for move in moves]


class Messages:
    """Watches the messages that are owed. `fail` is told what does not hold, `mark` what was reached."""

    def __init__(self, fail: Callable[[str, str, str], None], mark: Callable[[str], None]) -> None:
        self._fail = fail
        self._mark = mark
        self._due: list[tuple[str, dict[str, int]]] = []

    def commits(self, move: Move, owed: Owed) -> None:
        """A move is committed: what is new among the messages is its own, and nothing else."""
        new = [(saga_id, row.data) for saga_id, row in owed[len(self._due) :]]
        self._due.append((move.saga_id, _of(move)))
        if new != self._due[-1:]:
            self._fail(RULE, move.saga_id, f"the move {_of(move)} brought {new}")

    def loses(self, move: Move) -> None:
        """Another move of the saga was faster than this one."""
        if move.outbox:
            self._mark(TOO_LATE)

    def finish(self, folds: Mapping[str, State], owed: Owed) -> None:
        """At the end there is a message for all that happened, and no other."""
        if [(saga_id, row.data) for saga_id, row in owed] != self._due:
            self._fail(RULE, "", f"{len(owed)} messages stand, and {len(self._due)} moves were made")
        told = {saga_id: versions["to"] for saga_id, versions in self._due}
        for saga_id, state in folds.items():
            if told.get(saga_id) != state.version:
                self._fail(RULE, saga_id, f"told up to {told.get(saga_id)} of {state.version}")


def _of(move: Move) -> dict[str, int]:
    return {"after": move.expected_version, "to": move.state.version}

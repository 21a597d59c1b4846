"""A batch on its way through the engine: the words, the answers so far, and what was committed."""

from collections.abc import Sequence

from sagas.inputs import Answer, Input
from sagas.ports import Move


class Work:
    """What one call of `Engine.begin` was given. An input without an answer is decided again in the next round.

    `moves` are those that were committed, each with when its round began (this process's monotonic clock).

    Of the sagas in `alone` one input is decided at a time, to find the one that cannot be stored (rule A9). `doubted`:
    an earlier commit may hold some of it, so that each input is looked for (rule A7).
    """

    def __init__(self, words: Sequence[Input], *, doubted: bool = False) -> None:
        self.words = list(words)
        self.alone: set[str] = set()
        self.quarantined: set[int] = set()
        self.answers: list[Answer | None] = [None] * len(words)
        self.drafts: dict[int, Answer] = {}
        self.decided_at = 0.0
        self.moves: list[tuple[float, Move]] = []
        self.doubted = doubted
        self.lost_rounds = 0

    def open(self) -> list[int]:
        """The inputs without an answer."""
        return [index for index, answer in enumerate(self.answers) if answer is None]

    def answer(self, index: int, answer: Answer) -> None:
        """What became of an input, for good."""
        self.answers[index] = answer

    def take_moves(self) -> list[tuple[float, Move]]:
        """The moves that nobody has taken yet: whoever takes them sends what they owe, once."""
        moves, self.moves = self.moves, []
        return moves

"""A batch on its way through the engine: the words, the answers so far, and what was committed."""

from collections.abc import Sequence

from sagas.inputs import Answer, Input
from sagas.ports import Move


class Work:
    """One call of `Engine.append`. An input without an answer is decided again in the next round."""

    def __init__(self, words: Sequence[Input]) -> None:
        self.words = words
        self.answers: list[Answer | None] = [None] * len(words)
        self.drafts: dict[int, Answer] = {}
        self.moves: list[Move] = []
        self.doubted = False

    def open(self) -> list[int]:
        """The inputs without an answer."""
        return [index for index, answer in enumerate(self.answers) if answer is None]

    def answer(self, index: int, answer: Answer) -> None:
        """What became of an input, for good."""
        self.answers[index] = answer

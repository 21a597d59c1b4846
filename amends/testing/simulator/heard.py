"""What is recorded of what workers said: no word that tells of an effect may be dropped (rules C5, O4)."""

from sagas import events as e
from sagas.inputs import Outcome

NO_EVIDENCE = ("worker_lost", "lost")
"""Verdicts of others, who know nothing of the attempt."""
Told = tuple[str, str, int | None, int, str]


class Heard:
    """Attempts that are recorded to have succeeded, or to have ended so that nobody knows, with the cause."""

    def __init__(self) -> None:
        self._told: set[Told] = set()

    def record(self, saga_id: str, event: e.Event) -> None:
        """An event is committed."""
        match event:
            case e.StepSucceeded() | e.FallbackUsed():
                how = "succeeded"
            case e.StepOutcomeUnknown():
                how = f"unknown {event.cause}"
            case e.LateOutcomeSeen():
                how = _how(event.outcome, event.cause)
            case _:
                return
        self._told.add((saga_id, event.step or "", event.item, event.attempt, how))

    def lacks(self, word: Outcome) -> bool:
        """Whether it tells of an effect, certain or possible, of which no event tells: one that nobody would undo."""
        tells = word.kind == "succeeded" or (word.kind == "unknown" and word.cause not in NO_EVIDENCE)
        if word.role not in ("step", "fallback") or not tells:
            return False
        return (word.saga_id, word.step, word.item, word.attempt, _how(word.kind, word.cause)) not in self._told


def _how(kind: str, cause: str | None) -> str:
    return f"unknown {cause}" if kind == "unknown" else kind

"""What is recorded of effects: no word that tells of one may be dropped, none that is denied may come (O3, O4)."""

from collections.abc import Callable

from sagas import events as e
from sagas.inputs import Outcome

NO_EVIDENCE = ("worker_lost", "lost")
"""Verdicts of others, who know nothing of the attempt."""
Key = tuple[str, str, int | None]
Told = tuple[str, str, int | None, int, str]


class Heard:
    """Attempts that are recorded to have succeeded, or to have ended so that nobody knows, with the cause; and denials.

    A denial is what a probe or an operator said: the step did not happen.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._told: set[Told] = set()
        self._denied: dict[Key, float] = {}

    def record(self, saga_id: str, event: e.Event) -> None:
        """An event is committed."""
        match event:
            case e.StepSucceeded() | e.FallbackUsed():
                how = "succeeded"
            case e.StepOutcomeUnknown():
                how = f"unknown {event.cause}"
            case e.LateOutcomeSeen():
                how = _how(event.outcome, event.cause)
            case e.ProbeAnswered(answer="did_not_happen") | e.StepResolved(outcome="did_not_happen" | "skip"):
                self._denied[saga_id, event.step or "", event.item] = self._now()
                return
            case _:
                return
        self._told.add((saga_id, event.step or "", event.item, event.attempt, how))

    def denied_since(self, key: Key, began: float) -> bool:
        """Whether somebody said that the step did not happen, after an attempt of it that began then."""
        return self._denied.get(key, -1.0) > began

    def lacks(self, word: Outcome) -> bool:
        """Whether it tells of an effect, certain or possible, of which no event tells: one that nobody would undo."""
        tells = word.kind == "succeeded" or (word.kind == "unknown" and word.cause not in NO_EVIDENCE)
        if word.role not in ("step", "fallback") or not tells:
            return False
        return (word.saga_id, word.step, word.item, word.attempt, _how(word.kind, word.cause)) not in self._told


def _how(kind: str, cause: str | None) -> str:
    return f"unknown {cause}" if kind == "unknown" else kind

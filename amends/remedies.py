"""What ends an operator's wait: the commands, each with what follows, or with why it would be refused now.

Nothing is guessed: each is decided as if it were asked, by the rules that will decide it, and thrown away.
"""

from collections.abc import Sequence

from sagas import events as e
from sagas.decide import decide
from sagas.events import Event, Json, Recorded
from sagas.inputs import Asked, Resolve
from sagas.manifest import Manifest
from sagas.remedies import candidates
from sagas.state import State, Wait

WHY = "--reason …"


def remedies(manifest: Manifest, state: State, desk: Wait, now: float) -> list[dict[str, Json]]:
    """Each command that may end the wait: `command`, `says` what follows or why not, and whether it is `allowed`."""
    return [_tried(manifest, state, command, word, now) for command, word in candidates(manifest, state, desk)]


def _tried(manifest: Manifest, state: State, command: str, word: Asked, now: float) -> dict[str, Json]:
    decision = decide(manifest, state, word, now)
    shown = f"amends saga {command} {WHY}"
    if decision.answer.code != "accepted":
        return {"command": shown, "allowed": False, "says": f"refused now: {decision.answer.detail}"}
    says = "; ".join(_consequences(manifest, word, decision.recorded))
    return {"command": shown, "allowed": True, "says": says if not state.held else f"{says}; once it is released"}


def _consequences(manifest: Manifest, word: Asked, recorded: Sequence[Recorded]) -> list[str]:
    happened = [entry.event for entry in recorded]
    said = [text for event in happened if (text := _says(word, event)) is not None]
    if isinstance(word, Resolve) and word.outcome == "happened" and not said:
        said = ["goes on"]
        pivot = manifest.pivot
        if pivot is not None and pivot.name == word.step:
            said.append("there is no way back then")
    if said == ["is kept"]:
        return ["is kept until it is known whether the pivot happened"]
    return list(dict.fromkeys(text for text in said if text != "is kept")) or ["is recorded"]


def _says(word: Asked, event: Event) -> str | None:
    mine = event.step is not None and event.step == getattr(word, "step", None)
    match event:
        case e.StepScheduled() if mine:
            return f"tries again, attempt {event.attempt}"
        case e.ChildStarted() if mine:
            return f"starts the child again, attempt {event.attempt}"
        case e.UndoScheduled() if mine:
            return f"undoes it again, attempt {event.attempt}"
        case e.FallbackScheduled() if mine:
            return "runs its fallback"
        case e.ProbeScheduled() if mine:
            return "asks first whether it happened"
        case e.StepResolved(outcome="skip"):
            return "goes on without it"
        case e.StepResolved(outcome="undone"):
            return "takes it for undone"
        case e.StepResolved(outcome="accept"):
            return "leaves what is left; the saga is closed, its key is free"
        case e.CancelRequested():
            return "is kept"
        case e.SagaTurnedBack():
            return "turns back: what was done is undone"
        case e.SagaCompleted():
            return "the saga is completed"
        case e.SagaCompensated():
            return "the saga is compensated"
        case _:
            return None

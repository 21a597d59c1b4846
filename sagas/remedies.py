"""What people may ask to end an operator's wait, by what it is about."""

from sagas import events as e
from sagas.decide import decide
from sagas.inputs import Asked, Cancel, Resolve, TryAgain
from sagas.manifest import Manifest
from sagas.state import State, Wait

UNDOING = ("undo_failed", "late_effect")
UNKNOWN = ("pivot_unknown", "outcome_unknown")


def candidates(manifest: Manifest, state: State, desk: Wait) -> list[tuple[str, Asked]]:
    """Each command, without its reason, and what it asks; whether that is taken now is for the rules to say."""
    name, item, saga = desk.step, desk.item, state.saga_id
    cancel: tuple[str, Asked] = (f"cancel {saga}", Cancel(saga, "…", "…"))
    if name is None:
        return [cancel]
    place = name if item is None else f"{name}/{item}"

    def resolve(flags: str, outcome: e.Resolution, where: str = place) -> tuple[str, Asked]:
        asked = Resolve(saga, "…", "…", step=name, item=item, outcome=outcome)
        return f"resolve {saga} {where} {flags}", asked

    if desk.cause in UNDOING:
        return [
            (f"retry {saga} {place}:undo", TryAgain(saga, "…", "…", step=name, item=item, undo=True)),
            resolve("--undone", "undone", f"{place}:undo"),
            (f"resolve {saga} --accept", Resolve(saga, "…", "…", outcome="accept")),
        ]
    retry: tuple[str, Asked] = (f"retry {saga} {place}", TryAgain(saga, "…", "…", step=name, item=item))
    skip = [resolve("--skip", "skip")] if name in manifest.behind_pivot else []
    if desk.cause in UNKNOWN:
        known = [resolve("--happened JSON", "happened"), resolve("--did-not-happen", "did_not_happen")]
        return [*known, retry, *skip, cancel]
    return [retry, *skip, cancel]


def can_end(manifest: Manifest, state: State, desk: Wait, now: float) -> bool:
    """Whether the rules take anything that may be asked about the wait at the instant `now`."""
    asked = (word for _, word in candidates(manifest, state, desk))
    return any(decide(manifest, state, word, now).answer.code == "accepted" for word in asked)

"""One bad input must not stop the engine: what can never be stored is set apart, and the others go on (rule A9)."""

import logging
from collections.abc import Sequence

from orchestrator.work import Work
from sagas.events import Failure
from sagas.inputs import Answer, Outcome
from sagas.records import replace

log = logging.getLogger("amends.engine")

WHY_CHARACTERS_MAX = 500


def quarantine(work: Work, indices: Sequence[int], why: Exception) -> None:
    """Set apart what cannot be stored among these inputs of one saga.

    Of several, each is decided alone from now on. An outcome becomes one that says so: a step that had succeeded is
    unknown for good, since it has run. Anything else is refused.
    """
    saga_id = work.words[indices[0]].saga_id
    if len(indices) > 1:
        work.alone.add(saga_id)
        return
    (index,) = indices
    word = work.words[index]
    log.error("%s of saga %s cannot be stored: %s", type(word).__name__, saga_id, why)
    if isinstance(word, Outcome) and index not in work.quarantined:
        work.quarantined.add(index)
        work.words[index] = _without_content(word, why)
    else:
        work.answer(index, Answer("refused", saga_id, detail=f"it cannot be stored: {_plain(why)}"))


def _without_content(word: Outcome, why: Exception) -> Outcome:
    error: Failure = {
        "type": "Unstorable", "code": "unstorable", "message": f"what it said cannot be stored: {_plain(why)}",
        "attempt": word.attempt, "retryable": False, "happened": None,
    }  # fmt: skip
    proven = word.kind in ("failed", "refused")
    return replace(
        word, kind=word.kind if proven else "unknown", cause=word.cause if word.kind in ("refused", "unknown") else
        None if proven else "error", result=None, payload=None, error=error, worker=None, trace=None,
    )  # fmt: skip


def _plain(why: Exception) -> str:
    """The reason in characters that can be stored anywhere."""
    text = str(why).encode("ascii", "replace").decode("ascii")
    return text.replace("\x00", "?")[:WHY_CHARACTERS_MAX]

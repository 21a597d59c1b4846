"""Late words: what is done with an outcome about an attempt that was judged already (rules O4, O5)."""

from collections.abc import Mapping

from sagas import events as e
from sagas.draft import Draft
from sagas.facts import facts_of
from sagas.failure import ask_operator
from sagas.inputs import Outcome
from sagas.manifest import Node
from sagas.state import OPEN
from sagas.waiting import question_of

NO_EVIDENCE = frozenset({"worker_lost", "lost"})


def late(draft: Draft, node: Node, word: Outcome) -> None:
    """Take a second word about an attempt. The engine has made sure that it is not the same word again."""
    step = draft.step(node, word.item)
    if step.attempt < word.attempt:
        draft.remark(f"divergence: attempt {word.attempt} of '{node.name}' is unknown here")
    elif word.role == "undo":
        _late_undo(draft, node, word)
    elif word.role == "probe" or word.kind in ("failed", "refused") or word.cause in NO_EVIDENCE:
        draft.remark("the attempt was judged before")
    elif step.status in OPEN or _waits_for_answer(draft, node, word):
        _still_open(draft, node, word)
    else:
        _ended_before(draft, node, word)


def _waits_for_answer(draft: Draft, node: Node, word: Outcome) -> bool:
    """Whether the step is unknown or failed on the way forward, where a success is the answer that is waited for."""
    return draft.state.status == "active" and draft.step(node, word.item).status in ("unknown", "failed")


def _still_open(draft: Draft, node: Node, word: Outcome) -> None:
    if word.kind != "succeeded":
        draft.emit(_seen(word))
        return
    facts = facts_of(draft.manifest, node.name, word.result)
    if word.role == "fallback" and not word.happened:
        draft.emit(fallback_used(draft, word, facts))
        return
    draft.emit(
        e.StepSucceeded(
            step=node.name, item=word.item, attempt=word.attempt, result=word.kept, payload=word.payload, facts=facts,
            worker=word.worker, started_ago=word.started_ago, ended_ago=word.ended_ago, late=True,
        )
    )  # fmt: skip


def fallback_used(draft: Draft, word: Outcome, facts: Mapping[str, bool | int]) -> e.FallbackUsed:
    """What a fallback gave stands for its step, with why it was needed (def_R17)."""
    error = draft.state.step(word.step, word.item).error
    return e.FallbackUsed(
        step=word.step, item=word.item, attempt=word.attempt, result=word.kept, payload=word.payload, facts=facts,
        reason=str(error["message"]) if error else None, worker=word.worker,
    )  # fmt: skip


def _ended_before(draft: Draft, node: Node, word: Outcome) -> None:
    status = draft.step(node, word.item).status
    asked = question_of(draft.state, node.name, word.item) is not None
    reopens = draft.state.status == "compensating" and node.undo is not None and not asked and status != "succeeded"
    draft.emit(_seen(word, reopens=reopens))
    if not reopens and status != "succeeded" and node.step_class != "no_undo":
        ask_operator(draft, node, word.item, "late_effect")


def _late_undo(draft: Draft, node: Node, word: Outcome) -> None:
    """An undo's success ends the step only if it was scheduled after the last evidence of an effect."""
    step = draft.step(node, word.item)
    if word.kind != "succeeded" or step.status == "undone":
        draft.remark("the attempt was judged before")
    elif word.opened_by <= step.evidence or step.status not in ("undoing", "undo_failed"):
        draft.emit(_seen(word))
    else:
        if draft.state.status == "failed":
            draft.emit(e.SagaReopened(step=node.name, item=word.item, cause="late_undo"))
        draft.emit(
            e.StepUndone(step=node.name, item=word.item, attempt=word.attempt, closed=word.closed, worker=word.worker)
        )


def _seen(word: Outcome, *, reopens: bool = False) -> e.LateOutcomeSeen:
    return e.LateOutcomeSeen(
        step=word.step, item=word.item, attempt=word.attempt, outcome=word.kind, role=word.role,
        cause=str(word.cause) if word.cause else None, result=word.kept, payload=word.payload, reopens=reopens,
        worker=word.worker,
    )  # fmt: skip

"""What sagas of one family tell one another (rule B5, def_R24).

Each message comes at least once, in the order of its sender; repeats change nothing.
"""

from sagas import events as e
from sagas.compensation import turn_back, want_back
from sagas.draft import Draft
from sagas.facts import facts_of
from sagas.failure import after_failure
from sagas.inputs import ChildEnds, ParentTurnsBack
from sagas.manifest import Node

REASON = "the saga that started it turns back"


def parent_turns_back(draft: Draft, word: ParentTurnsBack) -> None:
    """A child under way turns back, and one that has completed does too."""
    state = draft.state
    if state.version == 0:
        draft.refuse("no such saga")
    elif state.status == "completed":
        turn_back(draft, "parent", REASON)
    elif state.status != "active" or state.back_cause is not None:
        draft.remark(f"the saga is {state.status}")
    elif state.held:
        draft.emit(e.CancelRequested(reason=REASON))  # acted on at release (rule B7)
    else:
        want_back(draft, "parent", REASON)


def child_ends(draft: Draft, word: ChildEnds) -> None:
    """A child has completed, or has left nothing; what was asked of it decides what that means."""
    node, step = draft.manifest.by_name.get(word.step), draft.state.step(word.step)
    if node is None or step.child != word.child_id:
        draft.remark("another child is waited for")
    elif step.status == "running":
        _ended(draft, node, word)
    elif step.status == "undoing" and word.status != "completed":
        draft.emit(e.StepUndone(step=node.name, attempt=step.attempt))
    else:
        draft.remark(f"'{node.name}' is {step.status}")  # who completed before it heard of it turns back all the same


def _ended(draft: Draft, node: Node, word: ChildEnds) -> None:
    if word.status == "completed":
        facts = facts_of(draft.manifest, node.name, word.result)
        draft.emit(
            e.ChildEnded(
                step=node.name, attempt=word.attempt, child_id=word.child_id, status=word.status, result=word.kept,
                payload=word.payload, facts=facts,
            )
        )  # fmt: skip
        return
    message = f"the child '{node.child}' {word.child_id} was {word.status}"
    error = {"type": "ChildFailed", "code": word.status, "message": message, "attempt": word.attempt,
             "retryable": False, "happened": False}  # fmt: skip
    draft.emit(
        e.ChildEnded(step=node.name, attempt=word.attempt, child_id=word.child_id, status=word.status, error=error)
    )
    after_failure(draft, node, None, "step")

"""Turning back: which undo may run now, in reverse order of dependence, and when the saga is compensated or rests.

A step's undo starts when all that depends on it, directly or through others, has ended and is undone (rule B1).
"""

from typing import Literal

from sagas import events as e
from sagas.draft import Draft
from sagas.forward import items_of
from sagas.manifest import Node
from sagas.state import StepState

Settled = Literal["settled", "busy", "stuck", "blocked"]


def turn_back(
    draft: Draft, cause: str, reason: str | None = None, error: e.Failure | None = None, step: str | None = None,
    item: int | None = None,
) -> None:  # fmt: skip
    """Record why the saga turns back, and begin."""
    draft.emit(e.SagaTurnedBack(step=step, item=item, cause=cause, reason=reason, error=error))
    unwind(draft)


def unwind(draft: Draft) -> None:
    """Schedule every undo whose turn it is; end the saga when there is nothing left to undo."""
    if draft.state.status != "compensating" or draft.state.held:
        return
    settled: set[str] = set()
    seen: set[Settled] = set()
    for node in reversed(draft.manifest.nodes):
        ready = settled.issuperset(draft.manifest.descendants[node.name])
        found: set[Settled] = {
            _settle(draft, node, item, ready) for item in items_of(draft.manifest, draft.state, node)
        }
        seen |= found
        if found <= {"settled"}:
            settled.add(node.name)
    if "busy" in seen:
        return
    draft.emit(e.SagaFailed() if "stuck" in seen else e.SagaCompensated())


def needs_undo(node: Node, step: StepState) -> bool:
    """Whether there is, or may be, something to undo. The key of a dispatched transaction step is closed (rule T2)."""
    if node.undo is None or not step.dispatched:
        return False
    return step.status in ("succeeded", "unknown") or (step.status == "failed" and node.transactional)


def _settle(draft: Draft, node: Node, item: int | None, ready: bool) -> Settled:
    step = draft.step(node, item)
    if step.status in ("scheduled", "running", "retrying", "undoing"):
        return "busy"
    if step.status == "undo_failed" or (step.status == "unknown" and node.pivot):
        return "stuck"
    if not needs_undo(node, step):
        return "settled"
    if draft.state.wait_of(node.name, item, "operator") is not None:
        return "stuck"
    if not ready:
        return "blocked"
    if step.status == "unknown" and not node.transactional:
        timeout = node.handler.timeout if node.handler else 0.0
        remaining = step.maybe_at + timeout + draft.numbers.lease_seconds - draft.now
        if remaining > 0:
            if draft.state.wait_of(node.name, item, "retry") is None:
                draft.emit(
                    e.WaitOpened(step=node.name, item=item, attempt=step.attempt, kind="retry", due_in=remaining)
                )
            return "busy"
    late = step.reason if step.reason in ("late_succeeded", "late_unknown") else None
    draft.emit(e.UndoScheduled(step=node.name, item=item, attempt=step.attempt + 1, cause=late or "turned_back"))
    return "busy"

"""Turning back: which undo may run now, in reverse order of dependence, and when the saga is compensated or rests.

A step's undo starts when all that depends on it, directly or through others, has ended and is undone (rule B1).
"""

from collections.abc import Sequence
from typing import Literal

from sagas import events as e
from sagas.draft import Draft
from sagas.forward import items_of
from sagas.manifest import ITEMS_OPEN_MAX, UNDO_DELAYS_SECONDS, Node
from sagas.state import StepState
from sagas.waiting import question_of

PROBES_MAX = len(UNDO_DELAYS_SECONDS) + 1
NOTHING_TO_UNDO = frozenset({"pending", "skipped", "undone"})
Settled = Literal["settled", "scheduled", "busy", "stuck", "blocked"]
SETTLED = frozenset[Settled]({"settled"})


def turn_back(
    draft: Draft, cause: str, reason: str | None = None, error: e.Failure | None = None, step: str | None = None,
    item: int | None = None,
) -> None:  # fmt: skip
    """Record why the saga turns back, and begin."""
    draft.emit(e.SagaTurnedBack(step=step, item=item, cause=cause, reason=reason, error=error))
    unwind(draft)


def want_back(draft: Draft, cause: str, reason: str) -> None:
    """Turn back, unless the pivot has passed or is in flight; then its outcome decides (rules B2, R11)."""
    pivot = draft.manifest.pivot
    if draft.state.status != "active" or draft.state.held:
        return
    if pivot is not None:
        step = draft.state.step(pivot.name)
        withdrawable = step.status == "pending" or (step.status == "retrying" and not step.maybe)
        if not withdrawable:
            return
    turn_back(draft, cause, reason)


def unwind(draft: Draft) -> None:
    """Schedule every undo whose turn it is; end the saga when there is nothing left to undo."""
    if draft.state.status != "compensating" or draft.state.held:
        return
    manifest = draft.manifest
    nodes = manifest.by_name
    owed = {name for (name, _), step in draft.state.steps.items() if name in nodes and needs_undo(nodes[name], step)}
    settled: set[str] = set()
    seen: set[Settled] = set()
    for node in reversed(manifest.nodes):
        ready = settled.issuperset(manifest.descendants[node.name])
        leans = not owed.isdisjoint(manifest.ancestors[node.name])
        found = _settle_items(draft, node, items_of(manifest, draft.state, node), ready=ready, leans=leans)
        seen |= found
        if found <= SETTLED and not late_effect(draft, node):
            settled.add(node.name)
    if seen & {"busy", "scheduled"}:
        return
    draft.emit(e.SagaFailed() if seen & {"stuck", "blocked"} else e.SagaCompensated())


def late_effect(draft: Draft, node: Node) -> bool:
    """Whether somebody is asked to undo what was undone, or left out, and had an effect after that (rule O4).

    What it depends on is not undone before (rule B1).
    """
    if node.undo is None:
        return False
    return any(wait.cause == "late_effect" and wait.step == node.name for wait in draft.state.waits.values())


def needs_undo(node: Node, step: StepState) -> bool:
    """Whether there is, or may be, something to undo. The key of a dispatched transaction step is closed (rule T2)."""
    if node.kind == "child":
        return step.status in ("running", "succeeded") and not node.pivot
    if node.undo is None or not step.dispatched:
        return False
    return step.status in ("succeeded", "unknown") or (step.status == "failed" and node.transactional)


def _settle_items(draft: Draft, node: Node, items: Sequence[int | None], *, ready: bool, leans: bool) -> set[Settled]:
    """Where a step's items stand; no more of them are undone at once than may be open."""
    if node.each is None:
        return {_settle(draft, node, None, ready=ready, leans=leans)}
    open_now = sum(wait.step == node.name and wait.role == "undo" for wait in draft.state.waits.values())
    room = min(node.concurrency or ITEMS_OPEN_MAX, ITEMS_OPEN_MAX) - open_now
    found: set[Settled] = set()
    for item in items:
        one = _settle(draft, node, item, ready=ready, leans=leans, room=room)
        room -= one == "scheduled"
        found.add(one)
    return found


def _settle(
    draft: Draft, node: Node, item: int | None, *, ready: bool, leans: bool, room: int | None = None
) -> Settled:
    """Where one step stands. `ready`: all that depends on it is settled; `leans`: something that it needs is undone."""
    step = draft.step(node, item)
    if step.status in NOTHING_TO_UNDO:
        return "settled"
    if step.status in ("scheduled", "running", "retrying") and not needs_undo(node, step):
        return "busy"
    undoing = step.status == "undoing"
    if undoing and draft.state.wait_of(node.name, item, "undo", "retry", "child") is not None:
        return "busy"
    if step.status == "unknown" and draft.state.wait_of(node.name, item, "probe", "retry") is not None:
        return "busy"
    if step.status == "undo_failed" or (step.status == "unknown" and node.pivot):
        return "stuck"
    if not undoing and not needs_undo(node, step):
        return "busy" if leans and _may_still_run(draft, node, item) else "settled"
    if question_of(draft.state, node.name, item) is not None:
        return "stuck"
    if not ready:
        return "blocked"
    if _may_still_run(draft, node, item):
        return "busy"
    if room is not None and room <= 0:
        return "busy"  # others of its items are under way
    if _asks_first(draft, node, item):
        return "scheduled"
    late = step.reason if step.reason in ("late_succeeded", "late_unknown") else None
    cause = "retry" if undoing else late or "turned_back"
    draft.emit(e.UndoScheduled(step=node.name, item=item, attempt=step.attempt + 1, cause=cause))
    if node.kind == "child":
        draft.emit(e.WaitOpened(step=node.name, attempt=step.attempt + 1, kind="child", cause="turned_back"))
    return "scheduled"


def _may_still_run(draft: Draft, node: Node, item: int | None) -> bool:
    """Whether an attempt that nobody knows the end of may be running still: then the saga waits for that (rule B1)."""
    step = draft.step(node, item)
    if step.status not in ("succeeded", "unknown") or node.transactional:
        return False
    remaining = may_run_until(draft, node, step) - draft.now
    if remaining <= 0:
        return False
    if draft.state.wait_of(node.name, item, "timer") is None:
        draft.emit(
            e.WaitOpened(
                step=node.name, item=item, attempt=step.attempt, kind="timer", cause="may_run", due_in=remaining
            )
        )
    return True


def may_run_until(draft: Draft, node: Node, step: StepState) -> float:
    """When an attempt that nobody knows the end of has ended for certain, and its last request has landed (rule B1)."""
    timeout = max(handler.timeout for handler in (node.handler, node.fallback) if handler) if node.handler else 0.0
    return step.maybe_at + timeout + draft.numbers.lease_seconds


def _asks_first(draft: Draft, node: Node, item: int | None) -> bool:
    """Whether its probe is asked before the undo of a step that nobody knows of: the undo may need the result (R25)."""
    step = draft.step(node, item)
    if node.probe is None or step.status != "unknown" or step.probes >= PROBES_MAX:
        return False
    draft.emit(e.ProbeScheduled(step=node.name, item=item, attempt=step.attempt + 1, cause="turned_back"))
    return True

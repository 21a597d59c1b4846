"""What people ask of a saga: cancel, hold, release, try again, correct, resolve, and the signals that they send.

Each is an event with who and why, or is refused with what makes it senseless now (rules B4, B6, B7, O3).
"""

from datetime import UTC, datetime
from typing import assert_never

from sagas import events as e
from sagas.compensation import late_effect, may_run_until, want_back
from sagas.draft import Draft
from sagas.durations import readable
from sagas.facts import facts_of
from sagas.failure import after_failure, owe, step_unknown, undo_not_done
from sagas.forward import is_list, item_count, pause_until
from sagas.inputs import Asked, Cancel, Correct, Hold, Migrate, Outcome, Release, Resolve, Send, TryAgain
from sagas.manifest import ITEMS_MAX, Node, Role
from sagas.migrating import migrate
from sagas.state import Key, StepState, Wait
from sagas.waiting import is_about_repairs

IN_FLIGHT = frozenset({"scheduled", "running", "undoing"})


def asked(draft: Draft, word: Asked) -> None:
    """Do what is asked, or refuse it."""
    if draft.state.version == 0:
        draft.refuse("no such saga")
        return
    if _has_moved(draft, word.expected):
        return
    match word:
        case Cancel():
            _cancel(draft, word)
        case Hold():
            _hold(draft, word)
        case Release():
            _release(draft, word)
        case TryAgain():
            _try_again(draft, word)
        case Correct():
            _correct(draft, word)
        case Resolve():
            _resolve(draft, word)
        case Migrate():
            migrate(draft, word)
        case _:
            assert_never(word)


def signal(draft: Draft, word: Send) -> None:
    """Take a signal: for the wait that is open, for one that will be, or as evidence for one that is over (rule B6)."""
    node, state = draft.manifest.by_name.get(word.name), draft.state
    step = state.step(word.name)
    if state.version == 0:
        draft.refuse("no such saga")
    elif _has_moved(draft, word.expected):
        return
    elif node is None or node.kind != "signal":
        draft.refuse(f"no wait is called '{word.name}'")
    elif state.status != "active":
        draft.refuse(f"the saga is {state.status}: nobody waits for '{word.name}' any more")
    elif step.signals >= draft.numbers.signals_max:
        draft.refuse(f"'{word.name}' was sent {step.signals} times already")
    else:
        first = step.signals == 0 and step.status in ("pending", "running")
        draft.emit(
            e.SignalReceived(
                step=word.name, name=word.name, value=word.kept, payload=word.payload, taken=step.status == "running",
                facts=facts_of(draft.manifest, word.name, word.value) if first else {},
            )
        )  # fmt: skip


def _has_moved(draft: Draft, expected: int | None) -> bool:
    if expected is None or expected == draft.state.version:
        return False
    draft.moved(f"the saga is at version {draft.state.version} and no longer at {expected}")
    return True


def _cancel(draft: Draft, word: Cancel) -> None:
    state = draft.state
    if state.status == "compensating":
        draft.remark("the saga is turning back already")
    elif state.status != "active":
        draft.refuse(f"the saga is {state.status}")
    elif (pivot := draft.manifest.pivot) is not None and state.step(pivot.name).status in ("succeeded", "skipped"):
        draft.refuse(f"there is no way back: the pivot '{pivot.name}' has passed")
    else:
        draft.emit(e.CancelRequested(reason=word.reason))
        want_back(draft, "cancel", word.reason)


def _hold(draft: Draft, word: Hold) -> None:
    if draft.state.terminal or draft.state.closed:
        draft.refuse(f"the saga is {'closed' if draft.state.closed else draft.state.status}")
    elif draft.state.held:
        draft.remark("the saga is held already")
    else:
        draft.emit(e.SagaHeld(reason=word.reason))


def _release(draft: Draft, word: Release) -> None:
    """Go on: with what outcomes asked for meanwhile, and with a cancel that came (rule B7)."""
    state = draft.state
    if not state.held:
        draft.remark("the saga is not held")
        return
    draft.emit(e.SagaReleased(reason=word.reason, length=max(draft.now - state.held_at, 0.0)))
    if state.back_cause is not None:
        want_back(draft, state.back_cause, state.back_reason or word.reason)


def _try_again(draft: Draft, word: TryAgain) -> None:
    """What waits for an operator is owed anew with fresh budgets; what waits for its delay is owed now."""
    found = _step_asked(draft, word.step, word.item)
    if found is None:
        return
    node, step, desk = found
    delayed = draft.state.wait_of(node.name, word.item, "retry")
    if desk is None and delayed is None:
        draft.refuse(f"'{node.name}' waits neither for an operator nor for its delay: it is {step.status}")
        return
    if word.undo and "undo" not in (step.role, _role_of(node, step, desk)):
        draft.refuse(f"the undo of '{node.name}' waits for nobody: '{node.name}' is {step.status}")
        return
    if desk is not None and desk.cause == "late_effect" and draft.state.status not in ("failed", "compensated"):
        draft.refuse(f"the saga is {draft.state.status}: undo '{node.name}' by hand, then say so with `resolve`")
        return
    if is_list(node, word.item):
        _try_list_again(draft, word, node)
        return
    out = draft.state.wait_of(node.name, word.item, "step", "undo", "probe", "fallback")
    if desk is not None and out is not None:
        _judge_lost(draft, word, node, out)
        return
    role = _role_of(node, step, desk)
    if delayed is not None and (desk is None or is_about_repairs(desk)):
        role = delayed.role
    if role == "undo" and node.undo is None:
        draft.refuse(f"'{node.name}' has no undo: say what is true of it with `resolve`")
        return
    if role == "undo" and (first := _undone_before(draft, node)):
        draft.refuse(f"'{first}', which depends on '{node.name}', had an effect after it was given up: undo it first")
        return
    resolving = step.resolving if role == "probe" else None  # what somebody said of it still holds
    draft.emit(e.RetryRequested(step=node.name, item=word.item, reason=word.reason, role=role, resolving=resolving))
    if role == "undo":
        _reopen(draft, node, word.item, "retry")
    else:
        owe(draft, node, word.item, role, "operator")


def _undone_before(draft: Draft, node: Node) -> str | None:
    """What depends on a step and somebody is still asked to undo: it is undone before (rule B1)."""
    behind = draft.manifest.descendants[node.name]
    return next((one.name for one in draft.manifest.nodes if one.name in behind and late_effect(draft, one)), None)


def _try_list_again(draft: Draft, word: TryAgain, node: Node) -> None:
    """A list that was too long, and is not any more: its items begin."""
    count = item_count(draft.manifest, draft.state, node)
    if count > ITEMS_MAX:
        source = (node.each or "").partition(".")[0]
        remedy = f"correct '{source}' first, or skip '{node.name}'"
        draft.refuse(f"'{node.name}' has {count} items, and at most {ITEMS_MAX} may be: {remedy}")
        return
    draft.emit(e.RetryRequested(step=node.name, reason=word.reason))


def _judge_lost(draft: Draft, word: TryAgain, node: Node, out: Wait) -> None:
    """A command that no repair could end: it may be running, and the next attempt takes its place (rule L5)."""
    draft.emit(e.RetryRequested(step=node.name, item=word.item, reason=word.reason, role=out.role))
    lost = Outcome(
        saga_id=word.saga_id, opened_by=out.opened_by, attempt=out.attempt, step=node.name, item=word.item,
        role=out.role, kind="unknown", cause="lost",
    )  # fmt: skip
    if out.role == "undo":
        undo_not_done(draft, node, lost)
    else:
        step_unknown(draft, node, lost)


def _role_of(node: Node, step: StepState, desk: Wait | None) -> Role:
    """Which function of the step an operator's wait is about."""
    cause = desk.cause if desk is not None else None
    if cause in ("undo_failed", "late_effect"):
        return "undo"
    if cause == "pivot_unknown" and (node.probe is not None or node.transactional):
        return "probe"
    return "fallback" if step.tried == "fallback" else "step"


def _correct(draft: Draft, word: Correct) -> None:
    state = draft.state
    if state.terminal or state.closed:
        draft.refuse(f"the saga is {'closed' if state.closed else state.status}")
        return
    if word.step is not None:
        found = _step_asked(draft, word.step, word.item)
        if found is None:
            return
        if found[1].status != "succeeded":
            draft.refuse(f"'{word.step}' is {found[1].status}: only what a step gave can be corrected")
            return
    facts = facts_of(draft.manifest, word.step or "input", word.value)
    for node in draft.manifest.nodes:
        count = f"each:{node.each}"
        names = {node.name, *draft.manifest.descendants[node.name]}
        begun = any(key[0] in names and _has_begun(draft, key) for key in state.steps)
        if begun and count in facts and facts[count] != state.facts.get(count, 0):
            draft.refuse(f"'{node.name}' has begun with {state.facts.get(count, 0)} items: their number must stay")
            return
    draft.emit(
        e.ValueCorrected(
            step=word.step, item=word.item, reason=word.reason, value=word.kept, payload=word.payload, facts=facts
        )
    )
    for node in draft.manifest.nodes:
        moment = f"moment:{node.moment}"
        moved = moment in facts and facts[moment] != state.facts.get(moment)
        if moved and draft.step(node, None).status == "running":
            pause_until(draft, node)


def _has_begun(draft: Draft, key: Key) -> bool:
    """Whether a step, or an item, was begun or left behind; of a list that was too long nothing was."""
    status = draft.state.steps[key].status
    too_long = status == "failed" and is_list(draft.manifest.by_name[key[0]], key[1])
    return status != "pending" and not too_long


def _resolve(draft: Draft, word: Resolve) -> None:
    if word.outcome == "accept":
        _accept(draft, word)
        return
    found = _step_asked(draft, word.step or "", word.item)
    if found is None:
        return
    node, step, desk = found
    if is_list(node, word.item) and word.outcome != "skip":
        draft.refuse(
            f"nothing of '{node.name}' has begun, since its list is too long: correct and retry it, or skip it"
        )
        return
    match word.outcome:
        case "happened":
            _happened(draft, word, node, step, desk)
        case "did_not_happen" | "skip":
            _did_not_happen(draft, word, node, step, desk)
        case "undone":
            _undone(draft, word, node, step, desk)
        case _:
            assert_never(word.outcome)


def _accept(draft: Draft, word: Resolve) -> None:
    """Close a saga that rests: what is left is left, and its key is free (rule B4)."""
    state = draft.state
    if word.step is not None:
        draft.refuse("`accept` closes the saga: leave the step out")
    elif state.closed:
        draft.remark("the saga is closed already")
    elif state.held:
        draft.refuse("the saga is held: release it first")
    elif state.status != "failed" and not (state.status == "compensated" and state.waits):
        draft.refuse(f"the saga is {state.status}: only one that rests can be closed")
    else:
        draft.emit(e.StepResolved(outcome="accept", reason=word.reason))


def _happened(draft: Draft, word: Resolve, node: Node, step: StepState, desk: Wait | None) -> None:
    if step.status not in ("unknown", "failed") or (desk is None and draft.state.status != "active"):
        draft.refuse(f"'{node.name}' is {step.status}: whether it happened is no question")
        return
    facts = facts_of(draft.manifest, node.name, word.value)
    draft.emit(
        e.StepResolved(
            step=node.name, item=word.item, outcome="happened", reason=word.reason, result=word.kept,
            payload=word.payload, facts=facts,
        )
    )  # fmt: skip
    _reopen(draft, node, word.item, "resolve")


def _did_not_happen(draft: Draft, word: Resolve, node: Node, step: StepState, desk: Wait | None) -> None:
    """What may still run cannot be said not to have happened (rule O3); of a transaction step its key tells (T2)."""
    if desk is None or step.status not in ("unknown", "failed"):
        draft.refuse(f"'{node.name}' is {step.status} and waits for no operator")
        return
    if word.outcome == "skip" and node.name not in draft.manifest.behind_pivot:
        draft.refuse(f"'{node.name}' stands before the pivot: what comes after would go on without it")
        return
    if step.maybe and (until := may_run_until(draft, node, step)) > draft.now:
        instant = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
        draft.refuse(f"an attempt of '{node.name}' may still run until {instant}")
        return
    is_closed = step.role == "probe" and step.status == "failed"  # a probe that could not be asked has closed nothing
    if node.transactional and step.dispatched and not is_closed:
        draft.emit(
            e.RetryRequested(step=node.name, item=word.item, reason=word.reason, role="probe", resolving=word.outcome)
        )
        owe(draft, node, word.item, "probe", "operator")  # it closes the key, or finds what happened
        return
    draft.emit(e.StepResolved(step=node.name, item=word.item, outcome=word.outcome, reason=word.reason))
    if word.outcome == "skip":
        return
    if _may_try_again(draft, node, step):
        draft.emit(e.RetryRequested(step=node.name, reason=word.reason))
        owe(draft, node, None, "step", "operator")
    else:
        after_failure(draft, node, word.item, step.tried)


def _may_try_again(draft: Draft, node: Node, step: StepState) -> bool:
    """Whether a pivot that did not happen is tried again: nobody wants the saga back, and it would not fail for good.

    A transaction step's key is closed (rule T2), and a fallback goes first.
    """
    if not node.pivot or node.transactional or node.fallback is not None or draft.state.back_cause is not None:
        return False
    return step.error is None or bool(step.error.get("retryable", True))


def _undone(draft: Draft, word: Resolve, node: Node, step: StepState, desk: Wait | None) -> None:
    if desk is None or desk.cause not in ("undo_failed", "late_effect"):
        draft.refuse(f"'{node.name}' is {step.status}: nobody is asked to undo it")
        return
    draft.emit(e.StepResolved(step=node.name, item=word.item, outcome="undone", reason=word.reason))
    if draft.state.status == "failed":
        _reopen(draft, node, word.item, "resolve")


def _reopen(draft: Draft, node: Node, item: int | None, cause: str) -> None:
    """A saga at rest, or at its end, goes on undoing."""
    if draft.state.status in ("failed", "compensated"):
        draft.emit(e.SagaReopened(step=node.name, item=item, cause=cause))


def _step_asked(draft: Draft, name: str, item: int | None) -> tuple[Node, StepState, Wait | None] | None:
    """The step with its record and the operator's wait about it; refused when there is none, or it is in flight."""
    node = draft.manifest.by_name.get(name)
    if node is None:
        draft.refuse(f"no step is called '{name}'")
        return None
    if node.kind not in ("step", "child"):
        draft.refuse(_what_ends(node))
        return None
    step, desk = draft.step(node, item), draft.state.wait_of(name, item, "operator")
    if (node.each is None) != (item is None) and not (is_list(node, item) and desk is not None):
        draft.refuse(f"'{name}' " + ("has no items" if node.each is None else "has items: say which"))
        return None
    if draft.state.closed and desk is None:
        draft.refuse("the saga is closed")
        return None
    delayed = draft.state.wait_of(name, item, "retry") is not None
    if desk is None and step.status in IN_FLIGHT and not delayed:
        draft.refuse(f"'{name}' is {step.status}: wait for its outcome")
        return None
    return node, step, desk


def _what_ends(node: Node) -> str:
    """What a node that is no step is, and what ends it."""
    if node.kind == "signal":
        return f"'{node.name}' is a wait: it ends when somebody sends it, or after {readable(node.timeout or 0.0)}"
    until = f"at {node.moment}" if node.moment is not None else f"after {readable(node.length or 0.0)}"
    return f"'{node.name}' is a pause: it ends by itself, {until}"

"""What follows when an attempt did not succeed: again, fallback, back, or an operator (rules O2, O6, L2, L5, B3)."""

from typing import assert_never

from sagas import events as e
from sagas.compensation import may_run_until, turn_back
from sagas.delays import next_delay, refusal_delay
from sagas.draft import Draft
from sagas.durations import readable
from sagas.forward import is_list, schedule, start_child
from sagas.inputs import Due, Outcome
from sagas.manifest import UNDO_DELAYS_SECONDS, Node, RetryPolicy, Role
from sagas.state import Wait
from sagas.waiting import question_of

AT_ONCE = frozenset({"worker_lost", "lost", "drained"})
PROBE_RETRY = RetryPolicy(delays=UNDO_DELAYS_SECONDS)


def nobody_sent(draft: Draft, node: Node, wait: Wait) -> None:
    """A signal was waited for long enough: go on without it, or turn back (def_R7)."""
    if node.on_timeout == "continue":
        draft.emit(e.TimerFired(step=node.name, opened_by=wait.opened_by, kind=wait.kind))
        return
    message = f"nobody sent '{node.name}' within {readable(node.timeout or 0.0)}"
    error: e.Failure = {"type": "SignalTimeout", "code": "timed_out", "message": message, "attempt": 0,
                        "retryable": False, "happened": False}  # fmt: skip
    draft.emit(e.StepFailed(step=node.name, error=error))
    turn_back(draft, "timeout", message, error, node.name)


def never_began(draft: Draft, node: Node, wait: Wait, word: Due) -> None:
    """Nobody began the step within its start limit: a failure that proves that nothing happened (rule L5).

    Only if its command was taken back unread, or none is out because each was refused.
    """
    if word.verdict != "withdrawn" and draft.state.wait_of(node.name, wait.item, "step") is not None:
        draft.remark("somebody may have begun it")
        return
    message = f"no worker began '{node.name}' within {readable(node.schedule_timeout or 0.0)}"
    attempt = draft.step(node, wait.item).attempt
    error: e.Failure = {"type": "ScheduleTimeout", "code": "not_started", "message": message, "attempt": attempt,
                        "retryable": False, "happened": False}  # fmt: skip
    draft.emit(e.StepFailed(step=node.name, item=wait.item, attempt=attempt, error=error))
    after_failure(draft, node, wait.item, "step")


def owe(draft: Draft, node: Node, item: int | None, role: Role, cause: str) -> None:
    """Schedule the next attempt of a role of the step; for a held saga once it is released (rule B7)."""
    step, attempt = node.name, draft.step(node, item).attempt + 1
    if draft.state.held:
        draft.emit(
            e.WaitOpened(step=step, item=item, attempt=attempt - 1, kind="retry", cause="held", role=role, due_in=0.0)
        )
        return
    match role:
        case "step" if node.kind == "child":
            start_child(draft, node)
        case "step":
            schedule(draft, node, item, attempt, cause)
        case "undo":
            draft.emit(e.UndoScheduled(step=step, item=item, attempt=attempt, cause=cause))
        case "probe":
            draft.emit(e.ProbeScheduled(step=step, item=item, attempt=attempt, cause=cause))
        case "fallback":
            draft.emit(e.FallbackScheduled(step=step, item=item, attempt=attempt, cause=cause))
        case _:
            assert_never(role)


def ask_operator(draft: Draft, node: Node, item: int | None, cause: str) -> None:
    """Put the step on an operator's desk, once."""
    if question_of(draft.state, node.name, item) is None:
        step = draft.step(node, item)
        draft.emit(
            e.WaitOpened(
                step=node.name, item=item, attempt=step.attempt, kind="operator", cause=cause, error=step.error
            )
        )


def ask_probe(draft: Draft, node: Node, item: int | None) -> None:
    """Ask whether the step happened, once nothing of it may still run: before, no answer would hold (rule O3)."""
    step = draft.step(node, item)
    wait = max(may_run_until(draft, node, step) - draft.now, 0.0)
    draft.emit(
        e.WaitOpened(
            step=node.name, item=item, attempt=step.attempt, kind="retry", cause="probe", role="probe", due_in=wait
        )
    )


def did_not_happen(draft: Draft, node: Node, word: Outcome) -> None:
    """A probe says that nothing happened: the next attempt, if there is one, else what follows a failure."""
    step, asked = draft.step(node, word.item), draft.state.waits[word.opened_by]
    if node.probe is not None and asked.since < (until := may_run_until(draft, node, step)):
        draft.emit(
            e.ProbeAnswered(
                step=node.name, item=word.item, attempt=word.attempt, answer="cannot_tell",
                retry_in=max(until - draft.now, 0.0),
            )
        )  # fmt: skip
        return  # it was asked before a later attempt's end, which a late word told of (rule O3)
    draft.emit(e.ProbeAnswered(step=node.name, item=word.item, attempt=word.attempt, answer="did_not_happen"))
    behind = node.name in draft.manifest.behind_pivot
    if step.resolving is not None:
        outcome: e.Resolution = "skip" if behind else "did_not_happen"  # rule O3
        draft.emit(e.StepResolved(step=node.name, item=word.item, outcome=outcome, reason="its key is closed"))
        if behind:
            return
    delay = None if step.resolving is not None else _next_try(draft, node, word)
    if delay is None:
        after_failure(draft, node, word.item, step.tried)
        return
    draft.emit(
        e.WaitOpened(step=node.name, item=word.item, attempt=word.attempt, kind="retry", cause="retry", due_in=delay)
    )


def _next_try(draft: Draft, node: Node, word: Outcome) -> float | None:
    """The delay of the next attempt of a step that did not happen; of a transaction step the key is closed."""
    step = draft.step(node, word.item)
    wanted_back = draft.state.back_cause is not None and node.name not in draft.manifest.behind_pivot
    retryable = step.error is None or bool(step.error.get("retryable", True))
    if node.probe is None or step.tried != "step" or not retryable or wanted_back or draft.state.status != "active":
        return None
    if step.workers_lost >= draft.numbers.poison or step.lost >= draft.numbers.lost_max:
        return None  # whatever its budget (rules L2, L5)
    policy = node.handler.retry if node.handler else RetryPolicy()
    seed = f"{word.saga_id}/{node.name}/{word.item}/{word.attempt}"
    return next_delay(policy, step.retries, seed, None, draft.numbers.retry_after_seconds_max)


def failed(draft: Draft, node: Node, word: Outcome) -> None:
    """An attempt failed, and is known to have left nothing behind."""
    if word.role == "undo":
        undo_not_done(draft, node, word)
        return
    error = word.error or _unexplained(word)
    retry_in = _retry_in(draft, node, word) if word.role != "fallback" and error.get("retryable") else None
    draft.emit(
        e.StepFailed(
            step=node.name, item=word.item, attempt=word.attempt, error=error, role=word.role, retry_in=retry_in,
            worker=word.worker, started_ago=word.started_ago,
        )
    )  # fmt: skip
    if retry_in is None:
        after_failure(draft, node, word.item, word.role)


def step_unknown(draft: Draft, node: Node, word: Outcome) -> None:
    """An attempt may have happened: retried alike, at once where no budget is touched (rules O2, L2, L5, L6)."""
    step = draft.step(node, word.item)
    cause = str(word.cause or "error")
    onward = draft.state.status == "active" or word.role == "probe"
    asks = onward and node.probe is not None and word.role != "probe"
    again = onward and not asks and _again(draft, cause, step.workers_lost, step.lost)
    retry_in = None
    final = word.error is not None and not word.error.get("retryable", True)
    budgeted = cause not in AT_ONCE or (word.role == "probe" and not again)
    if onward and budgeted and not asks and word.role != "fallback" and not final:
        retry_in = _retry_in(draft, node, word)
    draft.emit(
        e.StepOutcomeUnknown(
            step=node.name, item=word.item, attempt=word.attempt, cause=cause, role=word.role, error=word.error,
            retry_in=retry_in, again=again, worker=word.worker, started_ago=word.started_ago,
        )
    )  # fmt: skip
    if asks:
        ask_probe(draft, node, word.item)
    elif again:
        owe(draft, node, word.item, word.role, cause)
    elif retry_in is None:
        after_failure(draft, node, word.item, word.role)


def refused(draft: Draft, node: Node, word: Outcome) -> None:
    """Nothing ran: the wait opens again under the next attempt number, and no budget is touched (rules C7, L6)."""
    reason = str(word.cause or "no_handler")
    wanted_back = node.pivot and draft.state.back_cause is not None and not draft.step(node, word.item).maybe
    onward = (draft.state.status == "active" and not wanted_back) or word.role in ("undo", "probe")
    at_once = reason == "drained" and not draft.state.held
    delay = refusal_delay(draft.step(node, word.item).refusals, draft.numbers.refusal_seconds_max)
    again_in = None if not onward else 0.0 if reason in ("drained", "held") else delay
    draft.emit(
        e.StepRefused(
            step=node.name, item=word.item, attempt=word.attempt, reason=reason, role=word.role, again_in=again_in,
            worker=word.worker,
        )
    )  # fmt: skip
    if not onward:
        after_failure(draft, node, word.item, word.role)  # a cancel waited for this (rule B2)
    elif at_once and word.role != "undo":
        owe(draft, node, word.item, word.role, reason)


def undo_not_done(draft: Draft, node: Node, word: Outcome) -> None:
    """An undo failed or nobody knows: again by its own policy, then an operator (rule B3)."""
    step = draft.step(node, word.item)
    cause = str(word.cause or "error") if word.kind == "unknown" else "failed"
    again = _again(draft, cause, step.workers_lost, step.lost)
    policy = node.undo.retry if node.undo else PROBE_RETRY
    seed = f"{word.saga_id}/{node.name}/{word.item}/{word.attempt}"
    retry_in = None if again else next_delay(policy, step.undo_tries, seed, word.retry_after)
    draft.emit(
        e.UndoFailed(
            step=node.name, item=word.item, attempt=word.attempt, error=word.error or _unexplained(word), cause=cause,
            retry_in=retry_in, again=again, worker=word.worker,
        )
    )  # fmt: skip
    if retry_in is None and not again:
        ask_operator(draft, node, word.item, "undo_failed")


def after_failure(draft: Draft, node: Node, item: int | None, role: Role) -> None:
    """A step's attempts are used up, or it failed for good (rules R11, R16, R18, B2).

    A step that leaves nothing behind may fall back over an unknown outcome too (docs/decisions/0005).
    """
    if draft.state.status != "active":
        return  # turning back goes on by itself
    step = draft.step(node, item)
    proven = step.status == "failed"
    back = draft.state.back_cause
    whole = is_list(node, item)  # it is too long: a fallback is for one item
    has_fallback = node.fallback is not None and role == "step" and not whole
    left_out = proven and item is not None and node.item_failure == "leave_out"
    if node.pivot:
        if proven and has_fallback and back is None:
            _fall_back(draft, node, item)
        elif proven:
            _back(draft, node, item)
        elif node.transactional and role == "step":
            owe(draft, node, item, "probe", "unknown")
        else:
            ask_operator(draft, node, item, "pivot_unknown")
    elif node.name in draft.manifest.behind_pivot and not (whole and _before_pivot(draft)):
        if has_fallback and (proven or node.transactional):
            _fall_back(draft, node, item)
        elif left_out:
            _leave_out(draft, node, item)
        else:
            ask_operator(draft, node, item, "step_failed" if proven else "outcome_unknown")
    elif has_fallback and back is None and (proven or node.step_class == "no_undo"):
        _fall_back(draft, node, item)
    elif left_out and back is None:
        _leave_out(draft, node, item)
    else:
        _back(draft, node, item)


def _before_pivot(draft: Draft) -> bool:
    pivot = draft.manifest.pivot
    return pivot is not None and draft.step(pivot, None).status == "pending"


def _leave_out(draft: Draft, node: Node, item: int | None) -> None:
    draft.emit(e.StepSkipped(step=node.name, item=item, attempt=draft.step(node, item).attempt, why="left_out"))


def _back(draft: Draft, node: Node, item: int | None) -> None:
    step = draft.step(node, item)
    cause = draft.state.back_cause or ("failure" if step.status == "failed" else "unknown")
    turn_back(draft, cause, draft.state.back_reason, step.error, node.name, item)


def _fall_back(draft: Draft, node: Node, item: int | None) -> None:
    step = draft.step(node, item)
    if draft.state.held:
        owe(draft, node, item, "fallback", "held")
        return
    reason = str(step.error["message"]) if step.error else None
    draft.emit(
        e.FallbackScheduled(step=node.name, item=item, attempt=step.attempt + 1, cause=step.status, reason=reason)
    )


def _again(draft: Draft, cause: str, workers_lost: int, lost: int) -> bool:
    """Whether another attempt follows at once: a loss is not the handler's fault, within bounds (rules L2, L5)."""
    if cause == "worker_lost":
        return workers_lost + 1 < draft.numbers.poison
    if cause == "lost":
        return lost + 1 < draft.numbers.lost_max
    return cause == "drained"


def _retry_in(draft: Draft, node: Node, word: Outcome) -> float | None:
    """The delay of the next budgeted attempt, or `None` when there is none."""
    step = draft.step(node, word.item)
    policy, used = PROBE_RETRY, step.probes
    if word.role == "step":
        if draft.state.status != "active":
            return None
        if node.pivot and draft.state.back_cause is not None and word.kind == "failed" and not step.maybe:
            return None  # a cancel waits for this: the pivot is known not to be under way (rule B2)
        policy, used = (node.handler.retry if node.handler else RetryPolicy()), step.retries
    seed = f"{word.saga_id}/{node.name}/{word.item}/{word.attempt}"
    return next_delay(policy, used, seed, word.retry_after, draft.numbers.retry_after_seconds_max)


def _unexplained(word: Outcome) -> e.Failure:
    message = f"the {word.role} of '{word.step}' ended {word.kind}" + (f" ({word.cause})" if word.cause else "")
    return {"type": "Unknown", "code": str(word.cause or word.kind), "message": message, "attempt": word.attempt,
            "retryable": True, "happened": None}  # fmt: skip

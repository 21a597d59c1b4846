"""`decide(manifest, state, word, now) -> Decision`: what follows from one input. Pure, total, fast.

It looks nothing up: the engine has loaded the head, has checked that a late outcome is not a redelivery (rule O4), and
appends what comes back.
"""

from dataclasses import asdict
from typing import Literal, assert_never

from sagas import events as e
from sagas.compensation import unwind, want_back
from sagas.draft import Decision, Draft
from sagas.facts import facts_of
from sagas.failure import (
    after_failure,
    did_not_happen,
    failed,
    never_began,
    nobody_sent,
    owe,
    refused,
    step_unknown,
    undo_not_done,
)
from sagas.forward import advance, too_many_items
from sagas.inputs import (
    Answer,
    Cancel,
    ChildEnds,
    Correct,
    Due,
    Hold,
    Input,
    Migrate,
    Outcome,
    ParentTurnsBack,
    Progressed,
    Release,
    Repair,
    Request,
    Resolve,
    Send,
    Start,
    Started,
    TryAgain,
)
from sagas.late import fallback_used, late
from sagas.manifest import Manifest, Node
from sagas.messages import child_ends, parent_turns_back
from sagas.numbers import DEFAULT_NUMBERS, Numbers
from sagas.requests import asked, signal
from sagas.state import COMMAND_KINDS, State, Wait, is_start_limit
from sagas.versions import what_it_needs

NOT_DUE = "the wait is not due yet"


def decide(manifest: Manifest, state: State, word: Input, now: float, numbers: Numbers = DEFAULT_NUMBERS) -> Decision:
    """What follows from `word` in `state` at the instant `now` (the database's clock, seconds since 1970)."""
    if state.newer:
        return Decision((), state, not_ours(state))
    draft = Draft(manifest, state, word, now, numbers)
    match word:
        case Start():
            _start(draft, word)
        case Outcome():
            _outcome(draft, word)
        case Started():
            _started(draft, word)
        case Progressed():
            _progressed(draft, word)
        case Due():
            _due(draft, word)
        case Send():
            signal(draft, word)
        case ParentTurnsBack():
            parent_turns_back(draft, word)
        case ChildEnds():
            child_ends(draft, word)
        case Cancel() | Hold() | Release() | TryAgain() | Correct() | Resolve() | Migrate():
            asked(draft, word)
        case Repair():
            _repair(draft, word)
        case _:
            assert_never(word)
    if draft.changed and isinstance(word, Send | Request | ParentTurnsBack | ChildEnds):
        go_on(draft)
    return draft.decision()


def not_ours(state: State) -> Answer:
    """The answer to all that is asked of a saga that a newer program wrote to."""
    return Answer("newer", state.saga_id, state.version, state.status, what_it_needs(state.release))


def go_on(draft: Draft) -> None:
    """Whatever the last event made possible: forward while active, backward while compensating."""
    unwind(draft)
    advance(draft)
    while draft.state.status == "active" and (node := too_many_items(draft)) is not None:
        error = {"type": "TooManyItems", "code": "too_many_items", "message": f"'{node.name}' has too many items",
                 "attempt": 0, "retryable": False, "happened": False}  # fmt: skip
        draft.emit(e.StepFailed(step=node.name, error=error))
        after_failure(draft, node, None, "step")


def _start(draft: Draft, word: Start) -> None:
    if draft.state.version:
        draft.remark("the saga has started already")
        return
    manifest = draft.manifest
    draft.emit(
        e.SagaStarted(
            definition=manifest.name,
            fingerprint=manifest.fingerprint,
            key=word.key,
            input=word.kept,
            payload=word.payload,
            facts=facts_of(manifest, "input", word.input),
            deadline=manifest.deadline,
            parent=asdict(word.parent) if word.parent is not None else None,
        )
    )
    go_on(draft)


def _outcome(draft: Draft, word: Outcome) -> None:
    node = draft.manifest.by_name.get(word.step)
    if node is None or draft.state.version == 0:
        draft.remark("divergence: nothing is known of this step")
        return
    wait = draft.state.waits.get(word.opened_by)
    if wait is None or wait.kind != word.role or wait.attempt != word.attempt:
        late(draft, node, word)
    else:
        _judge(draft, node, word)
    go_on(draft)


def _judge(draft: Draft, node: Node, word: Outcome) -> None:
    match word.kind:
        case "succeeded":
            _succeeded(draft, node, word)
        case "failed":
            failed(draft, node, word)
        case "refused":
            refused(draft, node, word)
        case "unknown":
            if word.role == "undo":
                undo_not_done(draft, node, word)
            else:
                step_unknown(draft, node, word)
        case _:
            assert_never(word.kind)


def _succeeded(draft: Draft, node: Node, word: Outcome) -> None:
    facts = facts_of(draft.manifest, node.name, word.result)
    step, item, attempt = node.name, word.item, word.attempt
    match word.role:
        case "undo":
            draft.emit(e.StepUndone(step=step, item=item, attempt=attempt, closed=word.closed, worker=word.worker))
        case "probe" if word.closed:
            did_not_happen(draft, node, word)
        case "probe" if word.fallback:
            draft.emit(fallback_used(draft, word, facts))
        case "probe":
            draft.emit(
                e.ProbeAnswered(
                    step=step, item=item, attempt=attempt, answer="happened", result=word.kept, payload=word.payload,
                    facts=facts,
                )
            )  # fmt: skip
        case "fallback" if not word.happened:
            draft.emit(fallback_used(draft, word, facts))
        case "step" | "fallback":
            draft.emit(
                e.StepSucceeded(
                    step=step, item=item, attempt=attempt, result=word.kept, payload=word.payload, facts=facts,
                    worker=word.worker, started_ago=word.started_ago, ended_ago=word.ended_ago,
                )
            )  # fmt: skip
        case _:
            assert_never(word.role)


def _started(draft: Draft, word: Started) -> None:
    wait = draft.state.waits.get(word.opened_by)
    step = draft.state.step(word.step, word.item)
    if wait is not None and wait.kind == "step" and wait.attempt == word.attempt and step.status == "scheduled":
        draft.emit(
            e.StepStarted(step=word.step, item=word.item, attempt=word.attempt, worker=word.worker, ago=word.ago)
        )


def _progressed(draft: Draft, word: Progressed) -> None:
    """Recorded while the attempt is open; it never says what became of it."""
    wait = draft.state.waits.get(word.opened_by)
    if wait is not None and wait.kind in COMMAND_KINDS and wait.attempt == word.attempt:
        draft.emit(
            e.StepProgressed(
                step=wait.step, item=wait.item, attempt=wait.attempt, percent=word.percent, message=word.message
            )
        )


def _due(draft: Draft, word: Due) -> None:
    wait = draft.state.waits.get(word.opened_by)
    if wait is None:
        draft.remark("the wait is over")
        return
    _end_wait(draft, wait, word)
    if draft.changed:
        go_on(draft)


def _end_wait(draft: Draft, wait: Wait, word: Due) -> None:
    if draft.state.held and word.verdict != "withdrawn":  # what was taken back is gone, whether held or not
        draft.remark("the saga is held")
    elif wait.kind in COMMAND_KINDS:
        _checked(draft, wait, word)
    elif wait.due_at is not None and wait.due_at > draft.now + 0.001:
        draft.remark(NOT_DUE)
    elif wait.kind == "retry" and wait.role == "undo":
        draft.emit(e.TimerFired(step=wait.step, item=wait.item, opened_by=wait.opened_by, kind=wait.kind))
    elif wait.kind == "retry" and wait.step is not None:
        owe(draft, draft.manifest.by_name[wait.step], wait.item, wait.role, "retry")
    elif wait.kind == "deadline" and wait.step is not None:
        never_began(draft, draft.manifest.by_name[wait.step], wait, word)
    elif wait.kind == "deadline":
        draft.emit(e.TimerFired(opened_by=wait.opened_by, kind=wait.kind))
        want_back(draft, "deadline", "the deadline has passed")
    elif wait.kind == "signal" and wait.step is not None:
        nobody_sent(draft, draft.manifest.by_name[wait.step], wait)
    elif wait.kind == "timer":
        draft.emit(e.TimerFired(step=wait.step, item=wait.item, opened_by=wait.opened_by, kind=wait.kind))


def _repair(draft: Draft, word: Repair) -> None:
    """End a wait in place of an orchestrator, at most so often; then an operator is asked (rule K2)."""
    wait = draft.state.waits.get(word.opened_by)
    if wait is None or wait.kind in ("operator", "notify"):
        draft.remark("the wait is over")
    elif draft.state.held:
        draft.remark("the saga is held")
    elif wait.kind not in COMMAND_KINDS and (wait.due_at is None or wait.due_at > draft.now):
        draft.remark(NOT_DUE)
    elif is_start_limit(wait) and draft.state.wait_of(wait.step, wait.item, "step") is not None:
        draft.remark("its command is judged by a wait of its own")
    elif draft.state.repairs.get(word.finding, 0) >= draft.numbers.repairs_max:
        if draft.state.wait_of(wait.step, wait.item, "operator") is None:
            draft.emit(
                e.WaitOpened(
                    step=wait.step, item=wait.item, attempt=wait.attempt, kind="operator", cause="repairs_used_up"
                )
            )
    else:
        verdict: Literal["fire", "lost"] = "lost" if wait.kind in COMMAND_KINDS else "fire"
        what = "the next attempt is scheduled" if verdict == "lost" else "the wait is ended"
        draft.emit(
            e.RepairApplied(step=wait.step, item=wait.item, attempt=wait.attempt, finding=word.finding, repair=what)
        )
        _end_wait(draft, wait, Due(word.saga_id, word.opened_by, verdict))
        go_on(draft)


def _checked(draft: Draft, wait: Wait, word: Due) -> None:
    """A command whose entry is gone, or that ran too long: judged as if its worker had said so (rules C1, L5)."""
    if word.verdict == "fire" or word.verdict == "withdrawn" or wait.step is None:
        draft.remark("a command is judged by its check only")
        return
    outcome = Outcome(
        saga_id=word.saga_id, opened_by=wait.opened_by, attempt=wait.attempt, step=wait.step, item=wait.item,
        role=wait.role, kind="unknown", cause=word.verdict,
    )  # fmt: skip
    _judge(draft, draft.manifest.by_name[wait.step], outcome)

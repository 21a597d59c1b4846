"""Planted bugs in the rules of sagas."""

# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false
# What is planted replaces what nobody else may touch.
from dataclasses import replace
from typing import Any

import sagas.compensation
import sagas.decide
import sagas.evolve
import sagas.failure
import sagas.forward
import sagas.late
import sagas.messages
import sagas.requests
from sagas import events as e
from sagas.inputs import Outcome
from sagas.state import State
from tests.simulation.bugs import Patch, bug


@bug("O1")
def no_attempt_check(patch: Patch) -> None:
    def outcome(draft: Any, word: Outcome) -> None:
        node = draft.manifest.by_name[word.step]
        wait = draft.state.wait_of(word.step, word.item, word.role)
        if wait is None:
            sagas.late.late(draft, node, word)
        else:
            sagas.decide._judge(draft, node, replace(word, opened_by=wait.opened_by, attempt=wait.attempt))
        sagas.decide.go_on(draft)

    patch.setattr(sagas.decide, "_outcome", outcome)


@bug("5")
def undone_in_forward_order(patch: Patch) -> None:
    settle = sagas.compensation._settle_items

    def at_once(*arguments: Any, ready: bool, leans: bool) -> Any:
        return settle(*arguments, ready=True, leans=leans)

    patch.setattr(sagas.compensation, "_settle_items", at_once)


@bug("3", "6")
def unknown_is_taken_for_not_happened(patch: Patch) -> None:
    def judged(draft: Any, node: Any, word: Outcome) -> None:
        error = {"type": "E", "code": "c", "message": "no", "attempt": word.attempt, "retryable": True}
        sagas.failure.failed(draft, node, replace(word, kind="failed", error=error))

    patch.setattr(sagas.decide, "step_unknown", judged)


@bug("3", "6")
def a_lost_command_is_taken_for_not_run(patch: Patch) -> None:
    unknown = sagas.failure.step_unknown

    def judged(draft: Any, node: Any, word: Outcome) -> None:
        error = {"type": "E", "code": "c", "message": "lost", "attempt": word.attempt, "retryable": True}
        if word.cause == "lost":
            sagas.failure.failed(draft, node, replace(word, kind="failed", error=error))
        else:
            unknown(draft, node, word)

    patch.setattr(sagas.decide, "step_unknown", judged)


def _too_late(draft: Any, node: Any, word: Outcome) -> None:
    draft.remark("too late")


@bug("O4", "3")
def late_outcomes_are_ignored(patch: Patch) -> None:
    patch.setattr(sagas.decide, "late", _too_late)


@bug("6")
def the_way_back_leads_past_a_pivot_in_flight(patch: Patch) -> None:
    def back(draft: Any, cause: str, reason: str) -> None:
        if draft.state.status == "active" and not draft.state.held:
            sagas.compensation.turn_back(draft, cause, reason)

    for module in (sagas.decide, sagas.messages, sagas.requests):
        patch.setattr(module, "want_back", back)


@bug("16")
def a_held_saga_goes_on(patch: Patch) -> None:
    owe = sagas.failure.owe

    def regardless(draft: Any, node: Any, item: Any, role: Any, cause: str) -> None:
        held, draft.state = draft.state, replace(draft.state, held=False)
        owe(draft, node, item, role, cause)
        draft.state = replace(draft.state, held=held.held)

    patch.setattr(sagas.failure, "owe", regardless)
    patch.setattr(sagas.decide, "owe", regardless)


@bug("3")
def the_undo_begins_at_once(patch: Patch) -> None:
    for module in (sagas.compensation, sagas.failure, sagas.requests):
        patch.setattr(module, "may_run_until", lambda draft, node, step: 0.0)


@bug("3", "6")
def a_later_failure_clears_the_doubt(patch: Patch) -> None:
    apply = sagas.evolve._apply

    def cleared(state: State, recorded: Any) -> Any:
        event = recorded.event
        if isinstance(event, e.StepFailed) and event.step:
            key = (event.step, event.item)
            step = replace(state.step(*key), maybe=False)
            state = replace(state, steps={**state.steps, key: step})
        return apply(state, recorded)

    patch.setattr(sagas.evolve, "_apply", cleared)


@bug("O4", "3")
def the_id_of_an_outcome_lacks_its_kind(patch: Patch) -> None:
    def without_kind(self: Outcome) -> str:
        return f"{self.opened_by}/{self.attempt}"

    patch.setattr(Outcome, "id", property(without_kind))


@bug("O3", "3", "6")
def the_probe_is_believed_too_early(patch: Patch) -> None:
    patch.setattr(sagas.failure, "may_run_until", lambda draft, node, step: 0.0)


@bug("R16")
def more_items_run_than_may(patch: Patch) -> None:
    patch.setattr(sagas.forward, "_is_open", lambda state, name, index, status: False)


@bug("19")
def operators_are_asked_twice(patch: Patch) -> None:
    def ask(draft: Any, node: Any, item: Any, cause: str) -> None:
        step = draft.step(node, item)
        draft.emit(e.WaitOpened(step=node.name, item=item, attempt=step.attempt, kind="operator", cause=cause))
        draft.emit(e.WaitOpened(step=node.name, item=item, attempt=step.attempt, kind="operator", cause=cause))

    patch.setattr(sagas.failure, "ask_operator", ask)


@bug("8")
def what_has_ended_keeps_its_waits(patch: Patch) -> None:
    patch.setattr(sagas.evolve, "_ended", lambda state: state)


@bug("10")
def poison_is_not_counted(patch: Patch) -> None:
    patch.setattr(sagas.failure, "_again", lambda draft, cause, workers_lost, lost: cause in sagas.failure.AT_ONCE)


@bug("O6")
def retries_have_no_budget(patch: Patch) -> None:
    patch.setattr(sagas.failure, "next_delay", lambda policy, used, *rest: 0.2)

"""Decisions at the corners: late words, pivots that are waited for, undos in order, budgets that nothing burns."""

from dataclasses import replace
from typing import Any

from sagas.compensation import turn_back
from sagas.decide import decide
from sagas.draft import Draft
from sagas.events import Recorded, StepFailed, UndoScheduled
from sagas.failure import ask_operator
from sagas.inputs import Cancel, Due, Input, Outcome, Repair, Start, TryAgain
from sagas.manifest import ITEMS_MAX, ITEMS_OPEN_MAX, Handler, Manifest, Node, RetryPolicy, StepClass
from sagas.numbers import DEFAULT_NUMBERS
from sagas.state import State, StepState, Wait
from sagas.statuses import WaitKind

SAGA = "01900000-0000-7000-8000-000000000001"
FAILED: dict[str, Any] = {"type": "E", "code": "c", "message": "no", "attempt": 1, "retryable": False}
BOUND_SECONDS = 10.0 + DEFAULT_NUMBERS.lease_seconds


def node(
    name: str, step_class: StepClass = "compensatable", after: tuple[str, ...] = (), *, transactional: bool = False,
    delays: tuple[float, ...] = (1.0,), **more: Any,
) -> Node:  # fmt: skip
    handler = Handler(name, transactional=transactional, retry=RetryPolicy(delays=delays))
    undo = Handler(f"un{name}", retry=RetryPolicy(delays=(1.0, 1.0))) if step_class == "compensatable" else None
    return Node(name, "step", step_class, after=after, handler=handler, undo=undo, **more)


class Play:
    """One saga, moved by hand."""

    def __init__(self, *nodes: Node, value: Any = None, paths: Any = (), deadline: float | None = None) -> None:
        self.manifest = Manifest(name="m", nodes=nodes, input="x", input_schema={}, paths=paths, deadline=deadline)
        self.state = State(SAGA)
        self.now = 1000.0
        self.history: list[Recorded] = []
        self.give(Start(SAGA, self.manifest, value))

    def give(self, word: Input) -> None:
        decision = decide(self.manifest, self.state, word, self.now)
        self.state = decision.state
        self.history += decision.recorded

    def command(self, step: str) -> Wait:
        found = self.find(step, "step", "undo", "probe", "fallback")
        assert found is not None, f"no command of {step}: {self.state.waits}"
        return found

    def find(self, step: str, *kinds: WaitKind) -> Wait | None:
        return self.state.wait_of(step, None, *kinds)

    def tell(self, step: str, kind: str = "succeeded", wait: Wait | None = None, **more: Any) -> None:
        about = wait or self.command(step)
        self.give(Outcome(SAGA, about.opened_by, about.attempt, step, None, about.role, kind, **more))  # type: ignore[arg-type]

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for wait in list(self.state.waits.values()):
            if wait.due_at is not None and wait.due_at <= self.now:
                self.give(Due(SAGA, wait.opened_by))


def test_a_takeovers_verdict_and_a_zombies_unknown_are_different_words() -> None:
    verdict = Outcome(SAGA, 2, 1, "a", None, "step", "unknown", cause="worker_lost")
    assert verdict.id != replace(verdict, cause="cancelled").id
    assert verdict.id == replace(verdict, worker="another").id


def test_a_pivot_that_is_refused_while_a_cancel_waits_turns_back() -> None:
    """rule_B2: it is known not to be under way."""
    play = Play(node("a"), node("p", "pivot", after=("a",)))
    play.tell("a")
    play.give(Cancel(SAGA, "stop", "c1"))
    assert (play.state.status, play.state.back_cause) == ("active", "cancel")
    play.tell("p", "refused", cause="no_handler")
    assert play.state.status == "compensating"
    assert play.find("p", "retry", "step") is None


def test_a_pivot_that_may_have_happened_is_offered_again_though_a_cancel_waits() -> None:
    play = Play(node("a"), node("p", "pivot", after=("a",)))
    play.tell("a")
    play.tell("p", "unknown", cause="timed_out")
    play.pass_time(1)
    play.give(Cancel(SAGA, "stop", "c1"))
    play.tell("p", "refused", cause="no_handler")
    assert play.state.status == "active"


def falling(**more: Any) -> Play:
    """A saga whose pivot has a fallback, and has failed for good."""
    play = Play(
        node("a"), node("p", "pivot", after=("a",), fallback=Handler("f"), **more), node("z", "retriable", after=("p",))
    )
    play.tell("a")
    play.tell("p", "failed", error=FAILED)
    return play


def test_def_r18_a_pivot_that_is_known_to_have_failed_falls_back_and_goes_on() -> None:
    play = falling()
    assert play.command("p").role == "fallback"
    play.tell("p")
    play.tell("z")
    assert (play.state.status, play.state.step("p").fallback) == ("completed", True)


def test_def_r18_a_fallback_of_a_pivot_that_fails_turns_back_and_one_that_nobody_knows_asks() -> None:
    play = falling()
    play.tell("p", "failed", error=FAILED)
    assert play.state.status == "compensating"
    play = falling()
    play.tell("p", "unknown", cause="timed_out")
    assert play.state.status == "active"
    assert play.find("p", "operator") is not None


def test_def_r18_a_fallback_never_runs_over_a_pivot_that_may_have_happened() -> None:
    play = Play(node("p", "pivot", fallback=Handler("f"), delays=(1.0,)))
    play.tell("p", "unknown", cause="timed_out")
    play.pass_time(1)
    play.tell("p", "failed", error=FAILED)
    assert play.find("p", "fallback") is None
    assert play.find("p", "operator") is not None


def test_def_r18_a_cancel_that_waits_for_a_pivot_leaves_no_time_for_its_fallback() -> None:
    """rule_B2: a proven failure turns back."""
    play = Play(node("a"), node("p", "pivot", after=("a",), fallback=Handler("f")))
    play.tell("a")
    play.give(Cancel(SAGA, "stop", "c1"))
    play.tell("p", "failed", error=FAILED)
    assert play.state.status == "compensating"


def test_def_r18_a_fallback_of_a_pivot_that_is_refused_while_a_cancel_waits_turns_back() -> None:
    play = falling()
    play.give(Cancel(SAGA, "stop", "c1"))
    assert play.command("p").role == "fallback"
    play.tell("p", "refused", cause="no_handler")
    assert play.state.status == "compensating"


def test_no_undo_begins_while_another_attempt_of_the_step_may_run() -> None:
    """rule_B1, def_R12: the late success of the first attempt does not end the second."""
    play = Play(node("a", delays=()), node("b"))
    first = play.command("a")
    play.tell("a", "unknown", cause="worker_lost")
    assert play.command("a").attempt == 2
    play.tell("b", "failed", error=FAILED)
    play.tell("a", wait=first)
    assert play.find("a", "undo") is None
    play.pass_time(BOUND_SECONDS + 0.1)
    assert play.find("a", "undo") is not None


def test_an_undo_that_is_tried_again_waits_for_what_was_reopened_behind_it() -> None:
    """rule_B1."""
    play = Play(node("a"), node("d", after=("a",)), node("x", after=("d",)))
    play.tell("a")
    first = play.command("d")
    play.tell("d", "unknown", cause="worker_lost")
    play.tell("d")
    play.tell("x", "failed", error=FAILED)
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("d")
    play.tell("a", "failed", error={**FAILED, "retryable": True})
    play.tell("d", wait=first)
    assert play.state.step("d").status in ("succeeded", "undoing")
    play.pass_time(2)
    assert play.find("a", "undo") is None, "d, which depends on it, has to be undone again first"
    play.pass_time(BOUND_SECONDS)
    play.tell("d")
    assert play.find("a", "undo") is not None


def test_refusals_do_not_use_up_the_questions_of_a_probe() -> None:
    """rule_C7."""
    play = Play(node("p", "pivot", transactional=True, delays=()))
    play.tell("p", "unknown", cause="timed_out")
    for _ in range(6):
        play.tell("p", "refused", cause="no_handler")
        play.pass_time(31)
    play.tell("p", "unknown", cause="timed_out")
    assert play.find("p", "operator") is None
    assert play.find("p", "retry") is not None


def test_a_probe_whose_worker_is_lost_is_asked_again_though_the_step_was_poison() -> None:
    play = Play(node("p", "pivot", transactional=True, delays=()))
    for _ in range(DEFAULT_NUMBERS.poison):
        play.tell("p", "unknown", cause="worker_lost")
    assert play.command("p").kind == "probe"
    play.tell("p", "unknown", cause="worker_lost")
    assert play.find("p", "operator") is None


def test_turning_back_undoes_no_more_items_at_once_than_may_be_open() -> None:
    count = 10_000
    play = Play(node("a", each="input.items"), value={"items": list(range(count))}, paths=(("input.items", "each"),))
    done = StepState(status="succeeded", attempt=1, dispatched=True)
    state = replace(play.state, steps={("a", item): done for item in range(count)}, waits={})
    draft = Draft(play.manifest, state, Cancel(SAGA, "x", "c"), play.now, DEFAULT_NUMBERS)
    turn_back(draft, "cancel")
    events = draft.decision().events
    assert sum(isinstance(event, UndoScheduled) for event in events) == ITEMS_OPEN_MAX


def test_a_list_that_is_too_long_does_not_matter_to_a_step_that_is_skipped() -> None:
    paths = (("input.items", "each"), ("input.flag", "when"))
    play = Play(
        node("z"), node("a", each="input.items", when="input.flag", after=("z",)),
        value={"items": list(range(10_001)), "flag": False}, paths=paths,
    )  # fmt: skip
    assert play.state.status == "active"


def test_a_list_that_is_too_long_turns_back_though_each_item_could_fall_back() -> None:
    """def_R16: nothing of it may be sent, and the saga must not be left without a wait."""
    fallback = Handler("other")
    play = Play(
        node("a", each="input.items", fallback=fallback), value={"items": list(range(ITEMS_MAX + 1))},
        paths=(("input.items", "each"),),
    )  # fmt: skip
    assert [entry.event.step for entry in play.history if isinstance(entry.event, StepFailed)] == ["a"]
    assert play.state.status == "compensated"


def test_an_undo_waits_for_a_late_unknown_of_another_attempt_though_the_step_has_succeeded() -> None:
    """rule_O4, rule_B1: its request may land within one timeout and one lease."""
    play = Play(node("a"), node("b", after=("a",)))
    first = play.command("a")
    play.tell("a", "unknown", cause="worker_lost")
    play.tell("a")
    play.now += 100
    play.tell("a", "unknown", wait=first, cause="cancelled")
    play.tell("b", "failed", error=FAILED)
    assert play.state.status == "compensating"
    assert play.find("a", "undo") is None
    play.pass_time(BOUND_SECONDS + 0.1)
    assert play.find("a", "undo") is not None


def test_repairs_that_are_used_up_are_told_an_operator_once() -> None:
    """rule_K2, also for what the saga itself waits for."""
    play = Play(node("a"), deadline=5.0)
    for _ in range(DEFAULT_NUMBERS.repairs_max):
        play.now += 30
        play.give(Repair(SAGA, play.command("a").opened_by, "wait overdue"))
    (deadline,) = [wait for wait in play.state.waits.values() if wait.kind == "deadline"]
    for _ in range(3):
        play.now += 15
        play.give(Repair(SAGA, deadline.opened_by, "wait overdue"))
    assert [wait.cause for wait in play.state.waits.values() if wait.kind == "operator"] == ["repairs_used_up"]


def used_up(play: Play, step: str, *kinds: WaitKind) -> None:
    """No repair ends the step's wait, until an operator is asked about it."""
    for _ in range(DEFAULT_NUMBERS.repairs_max + 1):
        wait = play.find(step, *kinds)
        assert wait is not None
        play.now = max(play.now, (wait.due_at or 0.0) + 1)
        play.give(Repair(SAGA, wait.opened_by, "wait overdue"))
    assert play.find(step, "operator") is not None


def test_used_up_repairs_of_a_step_that_may_still_run_do_not_let_the_saga_rest() -> None:
    """rule_K2, rule_B4: the desk went with its timer, and left a failed saga that nobody was asked about."""
    play = Play(node("x", delays=()), node("y", delays=()), node("z", "no_undo", after=("y",), delays=()))
    play.tell("y")
    for _ in range(DEFAULT_NUMBERS.repairs_max):
        play.give(Repair(SAGA, play.command("x").opened_by, "wait overdue"))
    play.tell("z", "failed", error=FAILED)
    play.tell("x", "unknown", cause="timed_out")
    timer = play.find("x", "timer")
    assert timer is not None
    assert timer.due_at is not None
    play.now = timer.due_at + 6
    play.give(Repair(SAGA, timer.opened_by, "wait overdue"))
    play.tell("y")
    play.give(Due(SAGA, timer.opened_by))
    assert play.command("x").kind == "undo"


def test_a_question_about_a_step_takes_the_place_of_one_about_its_repairs() -> None:
    """Inv 19: one operator wait for one thing."""
    play = Play(node("a", delays=()))
    used_up(play, "a", "step")
    asked = Draft(play.manifest, play.state, Cancel(SAGA, "c", "c1"), play.now, DEFAULT_NUMBERS)
    ask_operator(asked, play.manifest.by_name["a"], None, "late_effect")
    ask_operator(asked, play.manifest.by_name["a"], None, "late_effect")
    assert [wait.cause for wait in asked.state.waits.values() if wait.kind == "operator"] == ["late_effect"]


def test_a_late_success_is_undone_also_while_somebody_is_asked_about_repairs_of_the_undo() -> None:
    """rule_O4: the undo had been sent before that effect; its success ended the saga with the effect left."""
    play = Play(node("a", delays=()), node("b", after=("a",), delays=()))
    first = play.command("a")
    play.tell("a", "unknown", cause="worker_lost")
    play.tell("a")
    play.tell("b", "failed", error=FAILED)
    play.pass_time(BOUND_SECONDS)
    used_up(play, "a", "undo")
    undo = play.command("a")
    play.tell("a", wait=first)
    statuses: list[str] = []
    for wait in (undo, None):
        play.tell("a", wait=wait)
        statuses.append(play.state.status)
        play.pass_time(BOUND_SECONDS)
    assert statuses == ["compensating", "compensated"]


def test_a_step_whose_repairs_were_used_up_is_undone_when_nobody_knows_of_it() -> None:
    """rule_K2: the operator was asked about its command, which is over; the desk must not stand in the undo's way."""
    play = Play(node("a"))
    used_up(play, "a", "step")
    play.give(Cancel(SAGA, "stop", "c1"))
    play.tell("a", "unknown", cause="timed_out")
    play.pass_time(BOUND_SECONDS)
    play.tell("a")
    assert (play.state.status, play.state.waits) == ("compensated", {})


def test_an_undo_whose_repairs_were_used_up_is_what_an_operator_tries_again() -> None:
    """Never the step itself: the saga turns back."""
    play = Play(node("a", delays=()), node("b", after=("a",), delays=()))
    play.tell("a")
    play.tell("b", "failed", error=FAILED)
    for _ in range(DEFAULT_NUMBERS.repairs_max):
        play.give(Repair(SAGA, play.command("a").opened_by, "wait overdue"))
    play.tell("a", "failed", error=FAILED)
    delayed = play.find("a", "retry")
    assert delayed is not None
    play.now += 2
    play.give(Repair(SAGA, delayed.opened_by, "wait overdue"))
    assert play.find("a", "operator") is not None
    play.give(TryAgain(SAGA, "look again", "r1", step="a"))
    assert play.command("a").role == "undo"


def test_what_a_fallback_gave_is_the_fallbacks_also_when_it_comes_late() -> None:
    """def_R17, rule_O4: its worker was given up, and lives."""
    play = Play(replace(node("a"), fallback=Handler("falls")))
    play.tell("a", "failed", error=FAILED)
    first = play.command("a")
    play.tell("a", "unknown", cause="worker_lost")
    play.tell("a", wait=first, result=7)
    step = play.state.step("a")
    assert (step.status, step.fallback, step.reason) == ("succeeded", True, "no")

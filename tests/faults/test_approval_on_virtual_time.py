"""Every step of the approval fails for good, is unknown, and times out; every undo fails: where does it end?"""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from amends import Permanent
from amends.testing import Run, Unknown, run
from amends.timeline import timeline
from marketplace.plans import Approve, Opportunity, Phase, Plan, Task
from marketplace.sagas.approval import approval
from tests.shown import explained

REQUEST = Approve(plan_id=UUID("11111111-1111-4111-8111-111111111111"), approved_by="ana")
OPPORTUNITY = Opportunity(channel="Amazon", priority="alta", title="Fotos", what="publicar seis", reason="“2 fotos”")
PLAN = Plan(opportunities=[OPPORTUNITY], phases=[], channels=["Amazon"])
TASK = Task(id="t", title="Fotos: publicar seis")
BEFORE_PIVOT = ("plan", "tasks", "assignment")
UNDO_ORDER = ("assignment", "tasks", "plan")


class Table:
    """What the transaction steps would have written: tasks, and the plan's status."""

    def __init__(self) -> None:
        self.status = "pending"
        self.tasks: dict[str, str | None] = {}
        self.log: list[str] = []

    def answers(self) -> dict[Any, Any]:
        return {
            "plan": self.approve,
            "plan:undo": self.restore,
            "tasks": self.create,
            "tasks:undo": self.delete,
            "assignment": self.assign,
            "assignment:undo": self.unassign,
            "published": self.publish,
            "notified": self.notify,
        }

    def approve(self) -> Plan:
        self.status = "approved"
        return PLAN

    def restore(self) -> None:
        self.log.append("plan")
        self.status = "pending"

    def create(self) -> list[Task]:
        self.tasks = {TASK.id: None}
        return [TASK]

    def delete(self) -> None:
        self.log.append("tasks")
        self.tasks = {}

    def assign(self) -> dict[str, str]:
        self.tasks = {TASK.id: "catálogo"}
        return {TASK.id: "catálogo"}

    def unassign(self) -> None:
        self.log.append("assignment")
        self.tasks = dict.fromkeys(self.tasks)

    def publish(self) -> None:
        self.status = "ready"

    def notify(self) -> None:
        return None


async def never() -> None:
    """Runs into its timeout."""
    await asyncio.get_running_loop().create_future()


def go(table: Table, **changes: Any) -> Run[None]:
    answers = table.answers()
    answers.update({name.replace("__", ":"): answer for name, answer in changes.items()})
    return run(approval, REQUEST, answers=answers, unused_ok=True)


def why(done: Run[None]) -> str:
    """What `amends explain` says of it."""
    return explained(approval.seal().manifest, done.state, done.history)


def test_without_trouble_the_tasks_are_there_and_the_plan_is_ready() -> None:
    table = Table()
    done = go(table)
    assert (done.status, table.status, table.tasks) == ("completed", "ready", {"t": "catálogo"}), done
    assert done.fallbacks == ["phase1"]


@pytest.mark.parametrize("step", BEFORE_PIVOT)
def test_a_step_that_fails_for_good_is_undone_in_order(step: str) -> None:
    table = Table()
    done = go(table, **{step: Permanent("no")})
    assert done.status == "compensated", done
    assert (table.tasks, table.status) == ({}, "pending")
    assert table.log == [name for name in UNDO_ORDER if name in done.ran]


@pytest.mark.parametrize("step", BEFORE_PIVOT)
def test_a_step_that_times_out_is_tried_four_times_and_then_undone(step: str) -> None:
    table = Table()
    done = go(table, **{step: never})
    assert done.status == "compensated", done
    assert (table.tasks, table.status) == ({}, "pending")
    assert done.took.total_seconds() >= 4 * 10 + 1 + 5 + 30
    assert done.state.step(step).retries == 3


@pytest.mark.parametrize("step", BEFORE_PIVOT)
def test_a_commit_whose_answer_is_lost_is_found_by_the_next_attempt(step: str) -> None:
    results = {"plan": PLAN, "tasks": [TASK], "assignment": {TASK.id: "catálogo"}}
    done = go(Table(), **{step: Unknown(happened=True, result=results[step])})
    assert done.status == "completed", done
    assert done.state.step(step).attempt == 2


@pytest.mark.parametrize("step", BEFORE_PIVOT)
def test_a_commit_that_is_lost_every_time_ends_compensated(step: str) -> None:
    table = Table()
    done = go(table, **{step: Unknown()})
    assert (done.status, table.tasks) == ("compensated", {}), done


def test_phase_1_that_fails_for_good_is_generated() -> None:
    done = go(Table(), phase1=Permanent("no phase"))
    assert (done.status, done.fallbacks) == ("completed", ["phase1"])


def test_phase_1_leaves_nothing_behind_so_it_is_generated_even_when_it_is_unknown() -> None:
    done = go(Table(), phase1=Unknown())
    assert (done.status, done.fallbacks) == ("completed", ["phase1"]), done


def test_phase_1_that_times_out_is_generated() -> None:
    done = go(Table(), phase1=never)
    assert (done.status, done.fallbacks) == ("completed", ["phase1"]), done
    assert done.took.total_seconds() >= 4 * 10 + 1 + 5 + 30


def test_a_failing_fallback_turns_the_approval_back() -> None:
    table = Table()
    done = go(table, phase1=Permanent("no"), phase1__fallback=Permanent("nor that"))
    assert (done.status, table.log) == ("compensated", ["plan"]), done


def test_a_pivot_that_fails_for_good_is_undone_in_order() -> None:
    table = Table()
    done = go(table, published=Permanent("no"))
    assert (done.status, table.tasks, table.log) == ("compensated", {}, list(UNDO_ORDER)), done


def test_a_pivot_that_times_out_was_rolled_back_and_is_undone_in_order() -> None:
    table = Table()
    done = go(table, published=never)
    assert (done.status, table.tasks, table.log) == ("compensated", {}, list(UNDO_ORDER)), done


def test_a_pivot_whose_commit_is_lost_asks_its_key_and_goes_forward_or_back() -> None:
    table = Table()
    forward = go(table, published=Unknown(happened=True))
    assert (forward.status, table.tasks) == ("completed", {"t": "catálogo"}), forward
    table = Table()
    back = go(table, published=Unknown(happened=False))
    assert (back.status, table.tasks) == ("compensated", {}), back


@pytest.mark.parametrize("trouble", [Permanent("no"), never], ids=["fails", "times out"])
def test_behind_the_pivot_a_step_that_gives_up_waits_for_an_operator(trouble: Any) -> None:
    table = Table()
    done = go(table, notified=trouble)
    assert (done.status, table.status) == ("active", "ready"), done
    (wait,) = done.waits
    assert (wait.kind, wait.step) == ("operator", "notified")
    assert "step notified failed, and behind the pivot nothing is undone" in why(done)
    assert table.tasks == {"t": "catálogo"}


def test_behind_the_pivot_a_lost_commit_waits_for_an_operator() -> None:
    done = go(Table(), notified=Unknown())
    assert done.status == "active"
    assert [wait.kind for wait in done.waits] == ["operator"]
    assert "nobody knows whether step notified happened" in why(done)


@pytest.mark.parametrize("step", BEFORE_PIVOT)
def test_an_undo_that_gives_up_rests_on_an_operators_desk(step: str) -> None:
    table = Table()
    done = go(table, published=Permanent("no"), **{f"{step}__undo": Permanent("cannot")})
    assert done.status == "failed", done
    (wait,) = done.waits
    assert (wait.kind, wait.step) == ("operator", step)
    assert done.took.total_seconds() >= 1 + 5 + 30 + 60 + 300
    before = UNDO_ORDER[: UNDO_ORDER.index(step)]
    assert table.log == list(before), "what depends on it is undone, nothing below it"
    assert f"the undo of step {step} gave up: what {step} did is still there" in why(done)


@pytest.mark.parametrize("undo", BEFORE_PIVOT)
@pytest.mark.parametrize("trouble", [Permanent("no"), never, Unknown()], ids=["fails", "times out", "is lost"])
@pytest.mark.parametrize("step", ["phase1", "tasks", "assignment", "published"])
def test_whatever_turns_it_back_an_undo_that_gives_up_is_found_on_a_desk(step: str, trouble: Any, undo: str) -> None:
    table = Table()
    changes = {step: trouble, f"{undo}__undo": Permanent("cannot")}
    if step == "phase1":
        changes["phase1__fallback"] = Permanent("nor that")
    done = go(table, **changes)
    if undo not in done.ran:
        assert done.status == "compensated", "what never happened has nothing to undo"
        return
    assert [(wait.kind, wait.step) for wait in done.waits] == [("operator", undo)], done
    assert done.status == "failed"
    assert f"the undo of step {undo} gave up" in why(done)


def test_an_undo_that_fails_once_is_tried_again() -> None:
    table = Table()
    done = go(table, published=Permanent("no"), tasks__undo=[Permanent("not yet"), None])
    assert done.status == "compensated", done


def test_a_timeline_says_what_happened() -> None:
    done = go(Table(), assignment=Permanent("no one is free"))
    text = "\n".join(timeline(done.history))
    assert "StepFailed           assignment Permanent: no one is free" in text
    assert text.index("UndoScheduled        tasks") < text.index("UndoScheduled        plan")


def test_phase_one_of_the_plan_is_taken_as_it_is() -> None:
    phase = Phase(number=1, name="Fase 1", weeks="1", tasks=["a", "b"])
    table = Table()
    done = go(table, plan=lambda: PLAN.model_copy(update={"phases": [phase]}))
    assert (done.status, done.fallbacks) == ("completed", [])

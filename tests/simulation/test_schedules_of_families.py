"""Known schedules about sagas that start others: messages in order, and ends that are told."""

from amends import Permanent
from sagas import events as e
from tests.simulation.scenes import API, BY_HAND, O0, O1, W0, Stage, schedule
from tests.simulation.small_sagas import ONCE, Order, Saga, pivot, step

NO = Permanent("no")
CHILD = Saga("child", input=Order)
step(CHILD, "b", step(CHILD, "a"), retry=ONCE)
PARENT = Saga("parent", input=Order)
PARENT.start("c", CHILD, input="input")
BEHIND = Saga("behind", input=Order)
"""The child stands behind the pivot."""
BEHIND.start("c", CHILD, input="input", after=[pivot(BEHIND, "p")])
FINAL = Saga("final", input=Order)
"""A child with a pivot, which is a pivot itself."""
pivot(FINAL, "p")
BOUND = Saga("bound", input=Order)
BOUND.start("c", FINAL, input="input")


def child_of(stage: Stage, saga: str, number: int = -1) -> str:
    """The id of a child that was started."""
    return stage.events(saga, e.ChildStarted)[number].child_id


@schedule(PARENT, hosts=(API, W0))
async def test_a_child_whose_parent_turned_back_before_it_started_is_started_and_then_turned_back(
    stage: Stage,
) -> None:
    """second_10_B5: told to turn back before it is there, it would run to its end and be waited for."""
    unknown = stage.forget_definition("child")  # who starts it was deployed before it
    saga = await stage.start(PARENT)
    await stage.cancel(saga)
    stage.boot(O0)
    await stage.seconds(3.0)
    stage.know_definition(unknown)
    await stage.rest()
    assert [stage.head(one).status for one in (saga, child_of(stage, saga))] == ["compensated", "compensated"]
    assert not stage.there("a")


@schedule(PARENT, breaks_with=["the end of a child is news each time"])
async def test_a_message_that_comes_again_changes_nothing(stage: Stage) -> None:
    """reasoned_2_A10_B5: who delivered it crashed before that was written down; it is known by its id."""
    stage.plan("b", NO)
    stage.when_committed(e.StepScheduled, lambda: stage.crash(O0), step="a")  # the child has started
    saga = await stage.start(PARENT)
    await stage.until(lambda: len(stage.known()) == 2)
    stage.boot(O1)
    child = child_of(stage, saga)
    stage.when_committed(e.ChildEnded, lambda: stage.crash(O1))
    await stage.until(lambda: stage.events(saga, e.ChildEnded))
    stage.boot(O0)
    await stage.rest()
    assert len(stage.events(child, e.SagaStarted)) == 1
    assert len(stage.events(saga, e.ChildEnded)) == 1
    assert stage.attempts("a") == [2]


@schedule(BEHIND, breaks_with=["a child has one id for all its attempts"])
async def test_an_operator_starts_another_child_behind_the_pivot(stage: Stage) -> None:
    """second_11_B5: a second start of the same child would be known, and waited for without end."""
    stage.plan("b", NO)
    saga = await stage.start(BEHIND)
    await stage.until(lambda: stage.desks(saga))
    assert stage.desks(saga) == [("c", "step_failed")]
    stage.plan("b", "at once")
    assert (await stage.try_again(saga, "c")).code == "accepted"
    await stage.rest()
    children = [child_of(stage, saga, number) for number in (0, 1)]
    assert [stage.head(one).status for one in children] == ["compensated", "completed"]
    assert stage.head(saga).status == "completed"


@schedule(PARENT, breaks_with=["a child that is closed tells nobody"])
async def test_a_child_that_rests_is_waited_for_and_its_closing_is_told(stage: Stage) -> None:
    """second_12_B5: it has not ended, and the parent has no operator's wait of its own."""
    stage.plan("b", NO)
    stage.plan("a", NO, role="undo")
    saga = await stage.start(PARENT)
    await stage.until(lambda: stage.known()[1:])
    child = child_of(stage, saga)
    await stage.status(child, "failed")
    await stage.seconds(3.0)
    assert stage.head(saga).status == "active"
    assert (stage.desks(saga), stage.desks(child)) == ([], [("a", "undo_failed")])
    assert (await stage.resolve(child, None, "accept")).code == "accepted"
    await stage.rest()
    assert [event.status for event in stage.events(saga, e.ChildEnded)] == ["closed"]
    assert stage.head(saga).status == "compensated"


@schedule(BOUND, breaks_with=["the way back leads past a pivot in flight"])
async def test_a_child_with_a_pivot_is_told_nothing_while_it_runs(stage: Stage) -> None:
    """rule_B5: it is a pivot itself, so a cancel waits for its end and comes too late."""
    stage.plan("p", BY_HAND, 1)
    saga = await stage.start(BOUND)
    call = await stage.entered("p")
    await stage.cancel(saga)
    await stage.seconds(1.0)
    call.succeed()
    await stage.rest()
    assert [stage.head(one).status for one in (saga, child_of(stage, saga))] == ["completed", "completed"]

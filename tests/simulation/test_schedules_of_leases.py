"""Known schedules about leases: who is lost, who is asked again, and what never runs twice."""

from sagas import events as e
from tests.simulation.small_sagas import PAY
from tests.simulation.stage import API, BY_HAND, O0, W0, Stage, schedule


@schedule(PAY, breaks_with=["own pending commands run after a restart"], same_names=True)
async def test_what_a_worker_held_when_it_crashed_is_not_run_when_it_starts_again(stage: Stage) -> None:
    """schedule_1_C6: nobody knows whether it was entered: it is told as lost, and the next attempt runs."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    await stage.entered("a")
    stage.crash(W0)
    stage.boot(W0)
    await stage.rest()
    assert stage.attempts("a") == [1, 2]
    assert stage.causes(saga, e.StepOutcomeUnknown) == ["worker_lost"]
    assert stage.head(saga).status == "completed"


@schedule(PAY, hosts=(API, O0), breaks_with=["poison is not counted"], same_names=True)
async def test_a_handler_that_kills_its_process_three_times_is_not_run_a_fourth_time(stage: Stage) -> None:
    """schedule_1_C6: each restart counts as a lost worker, so poison is bounded (invariant 10)."""
    stage.plan("a", BY_HAND)
    saga = await stage.start(PAY)
    for attempt in (1, 2, 3):
        stage.boot(W0)
        await stage.entered("a", attempt)
        stage.crash(W0)
    stage.boot(W0)
    await stage.rest()
    assert stage.attempts("a") == [1, 2, 3]
    assert stage.causes(saga, e.StepOutcomeUnknown) == ["worker_lost"] * 3
    assert stage.head(saga).status == "compensated"

"""Known schedules about leases and lost workers: who is asked again, and what never runs twice."""

from consumers.scripts import DONE
from sagas import events as e
from tests.simulation.scenes import API, BY_HAND, COMMANDS, O0, OUTCOMES, W0, W1, Stage, schedule
from tests.simulation.small_sagas import BUY_AND_ASK, PAY, PAY_AND_SEND


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
        await stage.seconds(0.5)  # the server has seen that its connections are gone
    stage.boot(W0)
    await stage.rest()
    assert stage.attempts("a") == [1, 2, 3]
    assert stage.causes(saga, e.StepOutcomeUnknown) == ["worker_lost"] * 3
    assert stage.head(saga).status == "compensated"


@schedule(PAY, breaks_with=["redelivered outcomes are taken for news"])
async def test_what_is_finished_is_said_again_and_not_run_again_when_the_answer_is_lost(stage: Stage) -> None:
    """schedule_1_C6: finished is not "running here", and yet it must not run a second time."""
    stage.when_asked(DONE, COMMANDS, lambda: stage.lose_answer_of_streams(W0))
    said: list[None] = []
    for _ in range(2):
        stage.when_asked("XADD", OUTCOMES, lambda: said.append(None))
    saga = await stage.start(PAY)
    await stage.until(lambda: len(said) == 2)
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert [type(one.event) for one in stage.history(saga)].count(e.StepSucceeded) == 1


@schedule(PAY, breaks_with=["what was handed out with a lost answer is left"])
async def test_what_was_handed_out_with_a_lost_answer_is_run_under_its_own_attempt(stage: Stage) -> None:
    """wording_1_C6: after an error, an entry that this process never entered is run."""
    stage.when_asked("XREADGROUP", COMMANDS, lambda: stage.lose_answer_of_streams(W0), answered=True)
    saga = await stage.start(PAY)
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert stage.events(saga, e.StepOutcomeUnknown) == []


@schedule(PAY, hosts=(API, O0, W0, W1), breaks_with=["a takeover runs the handler"])
async def test_who_takes_a_command_over_says_so_and_never_runs_it(stage: Stage) -> None:
    """mutation_1_L2: the paused worker may go on with the same attempt at any instant."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    lost = await stage.entered("a")
    stage.pause(lost.host.name)
    again = await stage.entered("a", 2)
    assert again.host is not lost.host
    lost.succeed()
    stage.resume(lost.host.name)
    await stage.rest()
    assert stage.attempts("a") == [1, 2]
    assert stage.causes(saga, e.StepScheduled)[1:] == ["worker_lost"]


@schedule(PAY, hosts=(API, O0, W0, W1), breaks_with=["the living are taken over"])
async def test_a_worker_that_lives_keeps_its_command_for_as_long_as_it_runs(stage: Stage) -> None:
    """rule_L1: nobody judges an attempt whose lease is renewed (invariant 20)."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    await stage.seconds(3.5)
    call.succeed()
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert stage.events(saga, e.StepOutcomeUnknown) == []


@schedule(PAY)
async def test_a_crash_between_the_acknowledgement_and_the_outcome_costs_an_attempt_and_loses_nothing(
    stage: Stage,
) -> None:
    """mutation_14_C5: the check of L5 heals it, as the model says."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    await stage.entered("a")
    (entry,) = [name for name, _ in stage.server.execute(("XRANGE", COMMANDS, "-", "+"))]
    stage.crash(W0)
    stage.server.execute(("XACK", COMMANDS, "workers", entry))
    stage.server.execute(("XDEL", COMMANDS, entry))
    stage.boot(W0)
    await stage.rest()
    assert stage.attempts("a") == [1, 2]
    assert stage.causes(saga, e.StepOutcomeUnknown) == ["lost"]
    assert stage.head(saga).status == "completed"


@schedule(BUY_AND_ASK, hosts=(API, O0, W0, W1), breaks_with=["the probe is believed too early"])
async def test_a_probe_is_asked_once_nothing_of_the_attempt_may_still_run(stage: Stage) -> None:
    """schedule_8_O3: "did not happen" proves nothing while the attempt is alive on a worker that is cut off."""
    stage.plan("p", BY_HAND, 1)
    saga = await stage.start(BUY_AND_ASK)
    call = await stage.entered("p")
    await stage.seconds(0.5)
    stage.cut_off(call.host.name)
    await stage.until(lambda: stage.events(saga, e.StepOutcomeUnknown))
    assert stage.causes(saga, e.StepOutcomeUnknown) == ["worker_lost"]
    await stage.seconds(2.0)  # it lands within its timeout plus one lease from here
    call.land()
    await stage.status(saga, "completed")
    stage.reconnect(call.host.name)
    await stage.rest()
    assert [event.answer for event in stage.events(saga, e.ProbeAnswered)] == ["happened"]
    assert stage.attempts("p") == [1]


@schedule(PAY_AND_SEND, breaks_with=["no attempt check"])
async def test_a_word_about_an_attempt_that_is_over_says_nothing_of_the_next(stage: Stage) -> None:
    """rule_O4: the failure of a zombie is no failure of the attempt that took its place."""
    stage.boot(W1)
    stage.plan("a", BY_HAND)
    saga = await stage.start(PAY_AND_SEND)
    lost = await stage.entered("a", 1)
    stage.pause(lost.host.name)
    again = await stage.entered("a", 2)
    lost.fail(RuntimeError("the first attempt says this late"))
    stage.resume(lost.host.name)
    await stage.until(lambda: stage.events(saga, e.LateOutcomeSeen))
    again.succeed()
    await stage.rest()
    assert stage.attempts("a") == [1, 2]
    assert stage.head(saga).status == "completed"

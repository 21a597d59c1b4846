"""Known schedules about commands: sent once, run once, and left alone while their saga is held."""

from amends import Recoverable
from sagas import events as e
from tests.simulation.scenes import API, BY_HAND, COMMANDS, O0, O1, OUTCOMES, W0, W1, Stage, schedule
from tests.simulation.small_sagas import PAY, PAY_AND_SEND, WORK_LONG


@schedule(WORK_LONG, breaks_with=["the sweep sends the same attempt again"])
async def test_a_command_whose_sending_nobody_confirmed_gets_another_attempt(stage: Stage) -> None:
    """schedule_2_C1: it arrived, and its answer was lost: sent again under its attempt it would run twice."""
    stage.plan("a", BY_HAND, 1)
    stage.when_asked("XADD", COMMANDS, lambda: stage.lose_answer_of_streams(API))
    saga = await stage.start(WORK_LONG)
    first = await stage.entered("a", 1)
    await stage.entered("a", 2)
    first.succeed()
    await stage.rest()
    assert stage.attempts("a") == [1, 2]
    assert stage.causes(saga, e.StepScheduled)[1:] == ["lost"]
    assert stage.head(saga).status == "completed"


@schedule(WORK_LONG, breaks_with=["confirms are forgotten"])
async def test_a_command_that_was_sent_is_not_swept_while_it_runs(stage: Stage) -> None:
    """wording_2_C1: what is still open a second after it was sent is confirmed."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(WORK_LONG)
    call = await stage.entered("a")
    await stage.seconds(12.0)
    call.succeed()
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert stage.events(saga, e.StepOutcomeUnknown) == []


@schedule(PAY_AND_SEND, breaks_with=["commands are confirmed by the append"])
async def test_a_command_whose_publisher_crashed_before_it_sent_gets_another_attempt(stage: Stage) -> None:
    """schedule_2_C1: the sweep finds what nobody confirmed."""
    stage.when_committed(e.StepSucceeded, lambda: stage.crash(O0), step="a")
    saga = await stage.start(PAY_AND_SEND)
    await stage.until(lambda: stage.events(saga, e.StepScheduled, "b"))
    stage.boot(O1)
    await stage.rest()
    assert stage.attempts("b") == [2]
    assert stage.head(saga).status == "completed"


@schedule(PAY_AND_SEND, breaks_with=["old commands are sent"])
async def test_a_publisher_that_stood_still_between_its_commit_and_its_sending_sends_nothing(stage: Stage) -> None:
    """schedule_11_C3: it would make a young entry of a wait that is long gone."""
    stage.when_committed(e.StepSucceeded, lambda: stage.pause(O0), step="a")
    saga = await stage.start(PAY_AND_SEND)
    await stage.until(lambda: stage.events(saga, e.StepScheduled, "b"))
    stage.boot(O1)
    await stage.status(saga, "completed")
    stage.resume(O0)
    await stage.seconds(3.0)
    await stage.rest()
    assert stage.attempts("b") == [2]


@schedule(PAY, hosts=(API, O0), breaks_with=["stale entries run"])
async def test_an_entry_whose_wait_is_over_is_forgotten_by_who_reads_it_late(stage: Stage) -> None:
    """mutation_8_C3: what is old is looked up before it runs."""
    stage.when_asked("XADD", COMMANDS, lambda: stage.lose_answer_of_streams(API))
    saga = await stage.start(PAY)
    await stage.until(lambda: len(stage.events(saga, e.StepScheduled)) == 2)
    await stage.seconds(0.5)
    assert stage.server.execute(("XLEN", COMMANDS)) == 2
    stage.boot(W0)
    await stage.rest()
    assert stage.attempts("a") == [2]
    assert stage.server.execute(("XLEN", COMMANDS)) == 0


@schedule(PAY, breaks_with=["outcomes are acknowledged before their commit"])
async def test_an_outcome_whose_commit_never_came_is_taken_by_another_orchestrator(stage: Stage) -> None:
    """mutation_5_C5."""
    await stage.seconds(0.5)
    stage.refuse_database(O0)
    saga = await stage.start(PAY)
    await stage.until(lambda: stage.there("a"))
    await stage.seconds(1.0)
    stage.crash(O0)
    stage.boot(O1)
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert stage.events(saga, e.StepOutcomeUnknown) == []


@schedule(PAY_AND_SEND, breaks_with=["a no op is decided on a stale head"])
async def test_what_changes_nothing_on_an_old_head_is_decided_on_a_fresh_one(stage: Stage) -> None:
    """mutation_6_A8: while one orchestrator stood still, another moved the saga on."""
    stage.plan("b", BY_HAND)
    saga = await stage.start(PAY_AND_SEND)
    first = await stage.entered("b", 1)
    stage.pause(O0)
    stage.boot(O1)
    await stage.seconds(2.5)  # no blocking read of O0 is left at the server
    first.fail(Recoverable("not now"))
    again = await stage.entered("b", 2)
    stage.pause(O1)
    await stage.seconds(2.5)
    stage.resume(O0)
    again.succeed()
    await stage.status(saga, "completed", 3.0)
    stage.resume(O1)
    await stage.rest()
    assert stage.attempts("b") == [1, 2]


@schedule(PAY, hosts=(API, W0), breaks_with=["who takes a mark leaves its age"])
async def test_who_takes_the_mark_of_an_old_command_sends_it_and_nobody_sweeps_it(stage: Stage) -> None:
    """second_5_C9: the age limit and the sweep count from the taking."""
    stage.when_stored("take_unsent", lambda: stage.pause(O0))
    saga = await stage.start(PAY, joined=True)
    await stage.seconds(6.0)
    stage.boot(O0)
    await stage.until(lambda: not stage.rows(saga)[0].unsent)
    stage.boot(O1)
    await stage.seconds(2.0)
    stage.resume(O0)
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert stage.events(saga, e.StepOutcomeUnknown) == []


@schedule(
    PAY, hosts=(API, O0), breaks_with=["what was never entered is run though it was refused"],
    seed=2,  # the worker asks for its entries before the refusal has taken this one away
)  # fmt: skip
async def test_a_refused_attempt_is_not_run_though_its_entry_is_read_again(stage: Stage) -> None:
    """second_6_C6: its refusal, which says that nothing ran, stands in the stream already."""
    saga = await stage.start(PAY)
    await stage.hold(saga)
    await stage.seconds(3.0)
    stage.pause(O0)
    said: list[None] = []
    stage.when_asked("XADD", OUTCOMES, lambda: said.append(None))
    stage.when_asked("XADD", OUTCOMES, lambda: stage.lose_request_to_streams(W0))
    stage.boot(W0)
    await stage.until(lambda: said)
    await stage.release(saga)
    await stage.seconds(1.0)
    stage.resume(O0)
    await stage.rest()
    assert [event.reason for event in stage.events(saga, e.StepRefused)] == ["held"]
    assert stage.attempts("a") == [2]


@schedule(PAY, hosts=(API, O0), breaks_with=["stale entries run", "queued commands of held sagas are dropped"])
async def test_a_queued_command_of_a_held_saga_is_refused_and_burns_nothing(stage: Stage) -> None:
    """second_7_C3: dropped without a word it would be found lost after the release (invariant 13)."""
    saga = await stage.start(PAY)
    await stage.hold(saga)
    await stage.seconds(3.0)
    stage.boot(W0)
    await stage.seconds(15.0)
    assert [event.reason for event in stage.events(saga, e.StepRefused)] == ["held"]
    assert stage.called("a") == []
    await stage.release(saga)
    await stage.rest()
    step = stage.head(saga).step("a")
    assert stage.attempts("a") == [2]
    assert (step.lost, step.maybe, step.retries) == (0, False, 0)


@schedule(PAY, hosts=(API, O0, W0, W1), breaks_with=["a held saga goes on"])
async def test_what_a_lost_worker_asks_for_waits_for_the_release_and_is_not_swept(stage: Stage) -> None:
    """second_8_B7: nothing new is scheduled in a held saga (invariant 16)."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    await stage.hold(saga)
    stage.crash(call.host.name)
    await stage.until(lambda: stage.events(saga, e.StepOutcomeUnknown))
    await stage.seconds(8.0)
    assert len(stage.events(saga, e.StepScheduled)) == 1
    await stage.release(saga)
    await stage.rest()
    assert stage.attempts("a") == [1, 2]
    assert stage.causes(saga, e.StepOutcomeUnknown) == ["worker_lost"]


@schedule(PAY, breaks_with=["marks of held sagas are taken", "marked commands are never sent"])
async def test_a_marked_command_of_a_held_saga_is_sent_after_the_release_under_its_own_attempt(stage: Stage) -> None:
    """second_4_C9: a refused write proves that nothing arrived."""
    await stage.seconds(1.5)
    stage.refuse_writes(True)
    saga = await stage.start(PAY)
    await stage.until(lambda: stage.rows(saga)[0].unsent)
    await stage.hold(saga)
    stage.refuse_writes(False)
    await stage.seconds(8.0)
    assert stage.called("a") == []
    await stage.release(saga)
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert stage.events(saga, e.StepRefused) == []


@schedule(PAY, breaks_with=["the hold moves no rows"])
async def test_what_was_due_during_a_hold_is_due_as_much_later_and_looked_for_no_oftener(stage: Stage) -> None:
    """reasoned_1_A5_B7: the fold adds the hold, and a wait that is found due too early is moved on."""
    stage.plan("a", Recoverable("later", retry_after=5.0), 1)
    saga = await stage.start(PAY)
    await stage.until(lambda: stage.events(saga, e.StepFailed))
    failed_at = stage.history(saga)[-1].at
    await stage.hold(saga)
    await stage.seconds(10.0)
    await stage.release(saga)
    looks = stage.count("due")
    again = await stage.entered("a", 2)
    assert len(looks) < 20
    assert 14.9 < again.at - failed_at < 16.0
    await stage.rest()

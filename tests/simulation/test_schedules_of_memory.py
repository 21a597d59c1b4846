"""Known schedules about a server of streams that forgets, or remembers what is over."""

from math import inf

from consumers.memory_streams import Memory
from sagas import events as e
from tests.simulation.scenes import API, BY_HAND, COMMANDS, LEASE_SECONDS, O0, OUTCOMES, W0, W1, Stage, schedule
from tests.simulation.small_sagas import BUY, PAY, PAY_AND_SEND, TIMEOUT_SECONDS


@schedule(PAY_AND_SEND, breaks_with=["entries of another memory run"])
async def test_an_acknowledged_command_that_reappears_with_an_older_memory_is_not_run(stage: Stage) -> None:
    """schedule_4_L7_C3: it is first-sent and young, and its wait is long over."""
    memories: list[Memory] = []
    stage.plan("b", BY_HAND, 1)
    stage.when_asked("XADD", COMMANDS, lambda: memories.append(stage.server.snapshot()))
    saga = await stage.start(PAY_AND_SEND)
    call = await stage.entered("b")
    stage.failover(memories[0])
    await stage.seconds(1.0)
    call.succeed()
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert stage.head(saga).status == "completed"


@schedule(PAY, breaks_with=["entries of another memory run"])
async def test_a_command_that_reappears_is_not_run_though_its_outcome_was_forgotten_with_it(stage: Stage) -> None:
    """schedule_4_L7_C3: the wait is still open, so asking for it does not help."""
    memories: list[Memory] = []
    stage.when_asked("XADD", COMMANDS, lambda: memories.append(stage.server.snapshot()))
    stage.when_asked("XADD", COMMANDS, lambda: stage.pause(O0))  # it reads no outcome
    saga = await stage.start(PAY)
    await stage.until(lambda: stage.called("a") and stage.there("a"))
    await stage.seconds(0.2)
    stage.failover(memories[0])
    await stage.seconds(0.5)
    stage.resume(O0)
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert stage.head(saga).status == "completed"


@schedule(PAY, hosts=(API, O0, W0, W1), breaks_with=["a lost command is taken for not run"])
async def test_a_command_that_was_forgotten_while_it_ran_is_undone_when_its_saga_turns_back(stage: Stage) -> None:
    """schedule_5_L5: neither queued nor pending is no proof: the step ends unknown, not failed."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    call.land()
    stage.crash(call.host.name)
    stage.flush()
    await stage.cancel(saga)
    await stage.rest()
    assert stage.causes(saga, e.StepOutcomeUnknown) == ["lost"]
    assert stage.head(saga).status == "compensated"
    assert not stage.there("a")


@schedule(BUY, hosts=(API, O0, W0, W1), breaks_with=["a lost command is taken for not run"])
async def test_a_pivot_that_was_forgotten_while_it_ran_is_not_turned_back_past(stage: Stage) -> None:
    """schedule_5_L5: a pivot that may have happened is offered again, though a cancel waits."""
    stage.plan("p", BY_HAND, 1)
    saga = await stage.start(BUY)
    call = await stage.entered("p")
    call.land()
    stage.crash(call.host.name)
    stage.flush()
    await stage.cancel(saga)
    await stage.rest()
    assert stage.attempts("p") == [1, 2]
    assert stage.causes(saga, e.StepScheduled, "p")[1:] == ["lost"]
    assert stage.head(saga).status == "completed"


@schedule(PAY, breaks_with=["a lost command is taken for not run"])
async def test_ten_lost_commands_of_one_step_are_poison(stage: Stage) -> None:
    """wording_5_L5: a cap, since each loss lets one poisonous execution go uncounted."""
    stage.crash(W0)  # nobody reads: each command is trimmed before somebody comes

    def trimmed() -> None:
        stage.trim()
        if not stage.known() or stage.head(stage.known()[0]).status == "active":
            stage.when_asked("XADD", COMMANDS, trimmed)

    trimmed()
    saga = await stage.start(PAY)
    await stage.until(lambda: stage.head(saga).status != "active", 300.0)
    stage.boot(W1)
    await stage.rest()
    assert stage.causes(saga, e.StepOutcomeUnknown) == ["lost"] * 10
    assert stage.called("a") == []
    assert stage.head(saga).status == "compensated"


@schedule(PAY, hosts=(API, O0, W0, W1), breaks_with=["late words go into the stream alone"])
async def test_a_late_success_is_known_though_the_stream_forgot_it_before_anybody_read_it(stage: Stage) -> None:
    """schedule_9_C5_L7: nobody asks again for a saga without a wait, so the worker tells the engine itself."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    lost = await stage.entered("a")
    await stage.cancel(saga)
    stage.pause(lost.host.name)
    await stage.status(saga, "compensated")
    lost.succeed()
    stage.crash(O0)  # else it waits at the stream, and reads before anybody forgets
    stage.when_asked("XADD", OUTCOMES, stage.flush)
    stage.resume(lost.host.name)
    await stage.until(lambda: stage.desks(saga))
    assert stage.desks(saga) == [("a", "late_effect")]
    assert stage.there("a")
    stage.boot(O0)
    assert (await stage.try_again(saga, "a")).code == "accepted"
    await stage.rest()
    assert not stage.there("a")


@schedule(PAY, breaks_with=["due at is a verdict"])
async def test_a_command_that_is_queued_for_long_is_moved_on_and_not_judged(stage: Stage) -> None:
    """mutation_7_L5: its date is a check; what was never entered is neither lost nor unknown."""
    stage.crash(W0)
    saga = await stage.start(PAY)
    await stage.seconds(3 * (TIMEOUT_SECONDS + 2 * LEASE_SECONDS))
    assert stage.events(saga, e.StepOutcomeUnknown) == []
    stage.boot(W1)
    await stage.rest()
    assert stage.attempts("a") == [1]
    assert stage.head(saga).status == "completed"


@schedule(PAY, hosts=(API, O0, W0, W1), breaks_with=["a group that is made anew hands everything out"])
async def test_a_command_in_a_group_that_was_destroyed_is_not_handed_out_twice(stage: Stage) -> None:
    """rule_L7: made anew, the group would hand out what runs already (docs/decisions/0021)."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    stage.checks.troubled_until = inf
    stage.pause(call.host.name)  # the other one finds the group missing
    stage.server.execute(("XGROUP", "DESTROY", COMMANDS, "workers"))
    await stage.seconds(0.5)
    stage.resume(call.host.name)
    await stage.until(lambda: call.cancelled)
    await stage.rest()
    assert stage.attempts("a") == [1, 2]
    assert stage.head(saga).status == "completed"

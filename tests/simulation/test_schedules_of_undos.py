"""Known schedules about turning back: what is undone, when, and what comes too late."""

from amends import Permanent
from sagas import events as e
from tests.simulation.scenes import API, BY_HAND, LEASE_SECONDS, O0, O1, OUTCOMES, W0, W1, Stage, schedule
from tests.simulation.small_sagas import BLOCK, ONCE, PAY, PAY_AND_SEND, TIMEOUT_SECONDS, Order, Saga, Word, step

PAIR = (API, O0, W0, W1)
NO = Permanent("no")
SIDE = Saga("side", input=Order)
"""Two branches: what the one leaves keeps the saga turning back while the other is looked at."""
step(SIDE, "a")
step(SIDE, "x", undo_seconds=60.0)
LEAN = Saga("lean", input=Order)
"""A step, a wait, and a step behind the wait; and one beside them that fails."""
_a = step(LEAN, "a")
step(LEAN, "b", LEAN.wait("w", model=Word, timeout=60.0, on_timeout="compensate", after=[_a]))
step(LEAN, "c", retry=ONCE)


async def lose(stage: Stage, saga: str, step: str) -> str:
    """Have the worker of an attempt stand still until it is taken for lost; its name."""
    call = await stage.entered(step, 1)
    stage.pause(call.host.name)
    await stage.until(lambda: stage.events(saga, e.StepOutcomeUnknown, step))
    return call.host.name


async def held_behind_its_step(stage: Stage) -> str:
    """A saga whose step has succeeded, and that is held before it could complete."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    await stage.hold(saga)
    call.succeed()
    await stage.until(lambda: stage.events(saga, e.StepSucceeded))
    return saga


@schedule(PAY, hosts=PAIR, breaks_with=["late outcomes are ignored"])
async def test_a_late_unknown_of_a_compensated_saga_is_put_on_a_desk(stage: Stage) -> None:
    """schedule_6_O4_L3: the request went out after the undo, and was called off without an answer."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    await stage.cancel(saga)
    await lose(stage, saga, "a")
    await stage.status(saga, "compensated")
    call.land()
    stage.resume(call.host.name)
    await stage.until(lambda: stage.desks(saga))
    assert call.cancelled
    assert stage.desks(saga) == [("a", "late_effect")]
    await stage.try_again(saga, "a")
    await stage.rest()
    assert stage.head(saga).status == "compensated"
    assert not stage.there("a")


@schedule(SIDE, hosts=PAIR, breaks_with=["late outcomes are ignored"])
async def test_a_late_unknown_while_turning_back_is_undone_once_more(stage: Stage) -> None:
    """wording_6_O4: the step is open again, and its undo waits for the timeout plus one lease from that word."""
    stage.plan("a", BY_HAND, 1)
    stage.plan("x", BY_HAND, role="undo")
    saga = await stage.start(SIDE)
    call = await stage.entered("a")
    await stage.until(lambda: stage.events(saga, e.StepSucceeded, "x"))
    await stage.cancel(saga)
    lost = await lose(stage, saga, "a")
    await stage.until(lambda: stage.events(saga, e.StepUndone, "a"))
    call.land()
    stage.resume(lost)
    await stage.until(lambda: stage.events(saga, e.LateOutcomeSeen))
    at = stage.history(saga)[-1].at
    await stage.until(lambda: len(stage.events(saga, e.UndoScheduled, "a")) == 2)
    assert stage.history(saga)[-1].at >= at + TIMEOUT_SECONDS + LEASE_SECONDS
    assert stage.causes(saga, e.UndoScheduled, "a")[-1] == "late_unknown"
    stage.plan("x", "at once", role="undo")
    for undo in stage.called("x", role="undo"):
        undo.succeed()
    await stage.rest()
    assert not stage.there("a")


@schedule(PAY, hosts=PAIR, breaks_with=["late outcomes are ignored", "any undo ends the step"])
async def test_an_undo_that_began_before_the_effect_was_known_does_not_end_the_step(stage: Stage) -> None:
    """schedule_7_O4: it may have run before the zombie's effect; only one that was scheduled after it counts."""
    stage.plan("a", BY_HAND, 1)
    stage.plan("a", BY_HAND, 2, 3, role="undo")
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    await stage.cancel(saga)
    lost = await lose(stage, saga, "a")
    early = await stage.entered("a", 2, role="undo")
    early.landed = True  # what it did, it did before the effect was there
    call.succeed()
    stage.resume(lost)
    last = await stage.entered("a", 3, role="undo")
    assert stage.causes(saga, e.UndoScheduled)[-1] == "late_succeeded"
    early.succeed()
    await stage.seconds(1.0)
    assert stage.events(saga, e.StepUndone) == []
    last.succeed()
    await stage.rest()
    assert [event.attempt for event in stage.events(saga, e.StepUndone)] == [3]
    assert stage.head(saga).status == "compensated"
    assert not stage.there("a")


@schedule(BLOCK, breaks_with=["threads that were given up say nothing"])
async def test_a_thread_that_ends_after_its_undo_is_put_on_a_desk(stage: Stage) -> None:
    """schedule_10_R20_L5: nobody can end it; its real word is sent all the same, and past the stream."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(BLOCK)
    call = await stage.entered("a")
    await stage.cancel(saga)
    await stage.status(saga, "compensated")
    assert stage.causes(saga, e.StepOutcomeUnknown) == ["timed_out"]
    call.succeed()
    await stage.until(lambda: stage.desks(saga), 10.0)
    assert stage.desks(saga) == [("a", "late_effect")]
    await stage.try_again(saga, "a")
    await stage.rest()
    assert not stage.there("a")


@schedule(PAY, hosts=PAIR, breaks_with=["the id of an outcome lacks its kind"])
async def test_a_zombies_success_is_another_word_than_the_verdict_of_its_takeover(stage: Stage) -> None:
    """wording_12_A1: looked up by what was judged alone, it would be taken for a repetition, and its effect stay."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    await stage.cancel(saga)
    lost = await lose(stage, saga, "a")
    await stage.status(saga, "compensated")
    call.succeed()
    stage.resume(lost)
    await stage.until(lambda: stage.desks(saga), 20.0)
    await stage.try_again(saga, "a")
    await stage.rest()
    assert not stage.there("a")


@schedule(PAY, hosts=PAIR, breaks_with=["the undo begins at once"])
async def test_an_undo_waits_until_a_request_that_may_be_out_has_landed(stage: Stage) -> None:
    """wording_8_O3_B1: counted from the event that recorded it unknown, for a command may queue for long."""
    stage.crash(W0)
    stage.crash(W1)
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    await stage.seconds(10.0)  # the command waits in its queue
    stage.boot(W0, W1)
    call = await stage.entered("a")
    await stage.cancel(saga)
    stage.pause(call.host.name)
    await stage.until(lambda: stage.events(saga, e.StepOutcomeUnknown))
    at = stage.history(saga)[-1].at
    await stage.seconds(TIMEOUT_SECONDS + LEASE_SECONDS - 1.0)
    call.land()
    stage.crash(call.host.name)
    await stage.rest()
    (undone,) = [one for one in stage.history(saga) if isinstance(one.event, e.UndoScheduled)]
    assert undone.at >= at + TIMEOUT_SECONDS + LEASE_SECONDS
    assert not stage.there("a")


@schedule(PAY, breaks_with=["a later failure clears the doubt"])
async def test_a_failure_of_the_second_attempt_does_not_say_that_the_first_did_not_happen(stage: Stage) -> None:
    """mutation_12_O2: the step ends unknown and is undone."""
    stage.plan("a", BY_HAND, 1)
    stage.plan("a", NO, 2)
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    call.land()
    call.fail(ConnectionResetError("the answer is lost"))
    await stage.rest()
    assert stage.attempts("a") == [1, 2]
    assert stage.head(saga).status == "compensated"
    assert not stage.there("a")


@schedule(LEAN, breaks_with=["undone in forward order", "undone when what is next to it is settled"])
async def test_a_step_is_not_undone_while_one_runs_that_leans_on_it_through_a_wait(stage: Stage) -> None:
    """second_13_B1: the wait between them needs no undo itself."""
    stage.plan("b", BY_HAND, 1)
    stage.plan("c", BY_HAND)
    saga = await stage.start(LEAN)
    await stage.until(lambda: stage.events(saga, e.StepSucceeded, "a"))
    await stage.send(saga, "w", {"text": "go on"})
    running = await stage.entered("b")
    (await stage.entered("c")).fail(NO)
    await stage.status(saga, "compensating")
    await stage.seconds(2.0)
    assert stage.called("a", role="undo") == []
    running.succeed()
    await stage.rest()
    undone = [event.step for event in stage.events(saga, e.StepUndone)]
    assert undone == ["b", "a"]


@schedule(PAY_AND_SEND, breaks_with=["dependencies are ignored"])
async def test_a_step_begins_when_what_it_needs_has_succeeded(stage: Stage) -> None:
    """mutation_11 (invariant 2)."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY_AND_SEND)
    call = await stage.entered("a")
    await stage.seconds(1.0)
    assert stage.called("b") == []
    call.succeed()
    await stage.rest()
    assert stage.head(saga).status == "completed"


@schedule(PAY, hosts=PAIR, breaks_with=["late outcomes are ignored"])
async def test_a_late_undo_of_a_saga_that_rests_failed_ends_its_step_and_reopens_it(stage: Stage) -> None:
    """second_14_O4: undone it must not rest with an operator's wait for what is done."""
    stage.plan("a", BY_HAND, 2, role="undo")
    stage.plan("a", NO, role="undo")
    saga = await held_behind_its_step(stage)
    await stage.cancel(saga)
    await stage.release(saga)
    slow = await stage.entered("a", role="undo")
    stage.pause(slow.host.name)
    await stage.status(saga, "failed")
    assert stage.desks(saga) == [("a", "undo_failed")]
    slow.succeed()
    stage.resume(slow.host.name)
    await stage.status(saga, "compensated")
    await stage.rest()
    assert stage.causes(saga, e.SagaReopened) == ["late_undo"]
    assert stage.desks(saga) == []
    assert not stage.there("a")


@schedule(PAY, hosts=PAIR, breaks_with=["operators are asked twice"])
async def test_a_late_success_of_a_step_whose_undo_gave_up_opens_no_second_desk(stage: Stage) -> None:
    """second_15_O4: at most one operator's wait of any cause a step; the evidence is recorded."""
    stage.plan("a", BY_HAND, 1)
    stage.plan("a", NO, role="undo")
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    await stage.cancel(saga)
    lost = await lose(stage, saga, "a")
    await stage.status(saga, "failed")
    call.succeed()
    stage.resume(lost)
    await stage.until(lambda: stage.events(saga, e.LateOutcomeSeen))
    assert stage.desks(saga) == [("a", "undo_failed")]
    stage.plan("a", "at once", role="undo")
    await stage.try_again(saga, "a")
    await stage.rest()
    assert stage.head(saga).status == "compensated"
    assert not stage.there("a")


@schedule(PAY, hosts=(API, O0, W0), breaks_with=["redelivered outcomes are taken for news"])
async def test_a_success_that_is_delivered_again_after_its_undo_raises_no_alarm(stage: Stage) -> None:
    """second_16_O4: it is the same word, and no late effect."""
    stage.when_committed(e.StepSucceeded, lambda: stage.crash(O0))  # before it is acknowledged
    saga = await held_behind_its_step(stage)
    await stage.cancel(saga)
    await stage.release(saga)
    stage.boot(O1)
    await stage.status(saga, "compensated")
    await stage.seconds(2 * LEASE_SECONDS)
    await stage.rest()
    assert stage.server.execute(("XLEN", OUTCOMES)) == 0
    assert stage.desks(saga) == []
    assert stage.events(saga, e.LateOutcomeSeen) == []

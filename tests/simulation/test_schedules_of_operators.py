"""Known schedules about pivots, keys and what operators say."""

from amends import Permanent, Recoverable
from sagas import events as e
from tests.simulation.scenes import API, BY_HAND, LEASE_SECONDS, O0, W0, W1, Stage, schedule
from tests.simulation.small_sagas import (
    BUY,
    ONCE,
    PAY,
    TIMEOUT_SECONDS,
    Order,
    Saga,
    pivot,
    step,
    transaction,
)  # fmt: skip

PAIR = (API, O0, W0, W1)
NO = Permanent("no")
BOOK = Saga("book", input=Order)
"""A transaction step."""
transaction(BOOK, "t")
RISK = Saga("risk", input=Order)
"""A pivot that is offered once."""
pivot(RISK, "p", step(RISK, "a"), retry=ONCE)
SHIP = Saga("ship", input=Order)
"""A transaction step behind the pivot."""
transaction(SHIP, "t", pivot(SHIP, "p"), undo=False)


@schedule(RISK, breaks_with=["the undo begins at once"])
async def test_nobody_may_say_that_a_pivot_did_not_happen_while_its_request_may_be_out(stage: Stage) -> None:
    """second_17_O3: refused with the instant until its timeout and one lease have passed."""
    stage.plan("p", BY_HAND)
    saga = await stage.start(RISK)
    call = await stage.entered("p")
    await stage.until(lambda: stage.desks(saga))
    assert stage.desks(saga) == [("p", "pivot_unknown")]
    early = await stage.resolve(saga, "p", "did_not_happen")
    assert early.code == "refused"
    assert "may still run until" in (early.detail or "")
    await stage.seconds(LEASE_SECONDS - 0.5)
    call.land()
    await stage.seconds(TIMEOUT_SECONDS + 1.0)
    assert (await stage.resolve(saga, "p", "happened", 1)).code == "accepted"
    await stage.rest()
    assert stage.head(saga).status == "completed"


@schedule(BUY, breaks_with=["the way back leads past a pivot in flight"])
async def test_a_cancel_waits_for_a_pivot_that_runs_and_comes_too_late(stage: Stage) -> None:
    """mutation_4_B2 (invariant 6)."""
    stage.plan("p", BY_HAND, 1)
    saga = await stage.start(BUY)
    call = await stage.entered("p")
    assert (await stage.cancel(saga)).code == "accepted"
    await stage.seconds(1.0)
    assert stage.called("a", role="undo") == []
    call.succeed()
    await stage.rest()
    assert stage.head(saga).status == "completed"


@schedule(BUY, breaks_with=["a pivot is in flight until it is known"])
async def test_a_pivot_that_waits_for_a_retry_and_surely_did_not_happen_holds_up_no_cancel(stage: Stage) -> None:
    """wording_13_B2_T2: without a doubt about an attempt the saga turns back at once."""
    stage.plan("p", Recoverable("later", retry_after=3600.0))
    saga = await stage.start(BUY)
    await stage.until(lambda: stage.events(saga, e.StepFailed))
    await stage.cancel(saga)
    await stage.status(saga, "compensated", 2.0)
    await stage.rest()
    assert stage.attempts("p") == [1]
    assert not stage.there("a")


@schedule(BUY, breaks_with=["the way back leads past a pivot in flight"])
async def test_a_pivot_that_waits_for_a_retry_and_may_have_happened_is_offered_again(stage: Stage) -> None:
    """wording_13_B2_T2: with a doubt it is in flight, and its next attempt tells."""
    stage.plan("p", BY_HAND, 1)
    saga = await stage.start(BUY)
    call = await stage.entered("p")
    call.land()
    call.fail(ConnectionResetError("the answer is lost"))
    await stage.until(lambda: stage.events(saga, e.StepOutcomeUnknown))
    await stage.cancel(saga)
    await stage.rest()
    assert stage.attempts("p") == [1, 2]
    assert stage.head(saga).status == "completed"


@schedule(BOOK, breaks_with=["the key stays open after the undo"])
async def test_a_transaction_that_begins_after_its_undo_finds_its_key_closed(stage: Stage) -> None:
    """mutation_3_T2: its worker stood still between its entry and the first statement."""
    stage.when_entered(lambda: stage.pause(W0))
    saga = await stage.start(BOOK)
    await stage.until(lambda: stage.stands_still(W0))
    stage.cut_off(W0)
    stage.boot(W1)
    await stage.cancel(saga)
    await stage.status(saga, "compensated")
    stage.resume(W0)
    await stage.seconds(2.0)
    stage.reconnect(W0)
    await stage.seconds(10.0)
    await stage.rest()
    assert not stage.there("t")
    assert stage.called("t") == []
    assert stage.desks(saga) == []


@schedule(BOOK, breaks_with=["a failed transaction step is not undone"])
async def test_a_transaction_step_that_failed_is_given_up_with_its_key(stage: Stage) -> None:
    """mutation_15_T2: a belt, since nothing of it may still commit."""
    stage.plan("t", NO)
    saga = await stage.start(BOOK)
    await stage.rest()
    assert stage.head(saga).status == "compensated"
    assert stage.ledger.closed == {f"{saga}/t", f"{saga}/t/fallback"}


@schedule(SHIP)
async def test_of_a_transaction_step_behind_the_pivot_it_is_only_said_that_it_is_left_out(stage: Stage) -> None:
    """reasoned_5_T2: its key is closed first, after which no attempt could commit."""
    stage.plan("t", NO)
    saga = await stage.start(SHIP)
    await stage.until(lambda: stage.desks(saga))
    assert (await stage.resolve(saga, "t", "did_not_happen")).code == "accepted"
    await stage.rest()
    assert [event.outcome for event in stage.events(saga, e.StepResolved)] == ["skip"]
    assert stage.ledger.closed == {f"{saga}/t"}
    assert stage.head(saga).status == "completed"


@schedule(PAY, hosts=PAIR, breaks_with=["what is reopened takes its key back"])
async def test_a_saga_that_is_reopened_does_not_take_its_key_back(stage: Stage) -> None:
    """reasoned_4_R23_O4: another has it by now, and the operator's word would break on it."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY, key="k")
    call = await stage.entered("a")
    await stage.cancel(saga)
    stage.pause(call.host.name)
    await stage.status(saga, "compensated")
    stage.plan("a", "at once", 1)
    other = await stage.start(PAY, key="k")
    await stage.status(other, "completed")
    call.succeed()
    stage.resume(call.host.name)
    await stage.until(lambda: stage.desks(saga))
    assert (await stage.try_again(saga, "a")).code == "accepted"
    await stage.rest()
    assert (stage.head(saga).status, stage.head(other).status) == ("compensated", "completed")
    assert await stage.start(PAY, key="k") == other


@schedule(PAY, hosts=PAIR)
async def test_what_lands_after_its_undo_from_a_worker_that_then_dies_nobody_can_know(stage: Stage) -> None:
    """unavoidable_B1: only an undo that blocks the key helps; the guide says so (def_R12)."""
    stage.plan("a", BY_HAND, 1)
    saga = await stage.start(PAY)
    call = await stage.entered("a")
    await stage.cancel(saga)
    stage.pause(call.host.name)
    await stage.status(saga, "compensated")
    call.land()
    stage.crash(call.host.name)
    await stage.seconds(30.0)
    await stage.rest()
    assert stage.there("a")
    assert stage.desks(saga) == []

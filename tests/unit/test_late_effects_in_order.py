"""What had an effect after it was given up stands before what it depends on, however the way back goes on (B1, O4)."""

from sagas.events import SagaFailed
from sagas.inputs import TryAgain
from sagas.state import Wait
from tests.unit.test_decisions import BOUND_SECONDS, FAILED, Play, node
from tests.unit.test_holding import ask
from tests.unit.test_requests import RETRYABLE, again, resolve


def give_up(play: Play, step: str) -> None:
    play.tell(step, "unknown", cause="worker_lost")


def late_at_the_end(*steps: str) -> Play:
    """a, then b, then c; compensated, and then each of these had an effect all the same."""
    play = Play(node("a"), node("b", after=("a",)), node("c", after=("b",)))
    first: dict[str, Wait] = {}
    for step in ("a", "b"):
        first[step] = play.command(step)
        give_up(play, step)
        play.tell(step)
    play.tell("c", "failed", error=FAILED)
    for step in ("b", "a"):
        play.pass_time(BOUND_SECONDS + 0.1)
        play.tell(step)
    assert play.state.status == "compensated"
    for step in steps:
        play.tell(step, wait=first[step])
        assert play.find(step, "operator") is not None
    return play


def test_its_undo_is_asked_for_before_that_of_what_it_depends_on() -> None:
    play = late_at_the_end("a", "b")
    told = again(play, "a", undo=True)
    assert (told.code, "'b', which depends on 'a'" in (told.detail or "")) == ("refused", True)
    assert again(play, "b", undo=True).code == "accepted"
    play.tell("b")
    assert again(play, "a", undo=True).code == "accepted"
    play.tell("a")
    assert (play.state.status, dict(play.state.waits)) == ("compensated", {})


def test_whoever_undid_it_by_hand_says_so_first() -> None:
    play = late_at_the_end("a", "b")
    assert resolve(play, "undone", "b").code == "accepted"
    assert again(play, "a", undo=True).code == "accepted"


def resting_before_a_late_effect() -> Play:
    """a, then b, then c; the undo of b gave up, a is still to be undone, and c had an effect after its undo."""
    play = Play(node("a"), node("b", after=("a",)), node("c", after=("b",)), node("d", after=("c",)))
    play.tell("a")
    play.tell("b")
    first = play.command("c")
    give_up(play, "c")
    play.tell("c")
    play.tell("d", "failed", error=FAILED)
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("c")
    for _ in range(3):
        play.tell("b", "failed", error=RETRYABLE)
        play.pass_time(1.1)
    assert play.state.status == "failed"
    play.tell("c", wait=first)
    assert play.find("c", "operator") is not None
    return play


def test_a_way_back_that_goes_on_by_hand_waits_for_it() -> None:
    play = resting_before_a_late_effect()
    assert resolve(play, "undone", "b").code == "accepted"
    assert play.find("a", "undo") is None
    assert isinstance(play.history[-1].event, SagaFailed), "it rests, and c is what is to be decided"
    assert again(play, "c", undo=True).code == "accepted"
    play.tell("c")
    play.tell("a")
    assert (play.state.status, dict(play.state.waits)) == ("compensated", {})


def test_it_goes_on_when_that_was_undone_by_hand() -> None:
    play = resting_before_a_late_effect()
    resolve(play, "undone", "b")
    assert resolve(play, "undone", "c").code == "accepted"
    assert play.command("a").kind == "undo"


def test_what_does_not_depend_on_it_does_not_wait() -> None:
    play = Play(node("a"), node("x"), node("b", after=("a", "x")))
    first = play.command("x")
    play.tell("a")
    give_up(play, "x")
    play.tell("x")
    play.tell("b", "failed", error=FAILED)
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("x")
    for _ in range(3):
        play.tell("a", "failed", error=RETRYABLE)
        play.pass_time(1.1)
    play.tell("x", wait=first)
    assert ask(play, TryAgain(play.state.saga_id, "mended", "t", "op", step="a", undo=True)).code == "accepted"
    play.tell("a")
    assert play.state.status == "compensated", "x is a question of its own, as it is at the end"


def test_a_late_success_leaves_the_next_attempt_running_though_nothing_else_is_waited_for() -> None:
    """rule_B1: its undo waits until that attempt has ended for certain."""
    play = Play(node("a"), node("b", after=("a",)))
    first = play.command("a")
    give_up(play, "a")
    play.pass_time(8.0)
    assert [wait.attempt for wait in play.state.waits.values()] == [2]
    play.tell("a", wait=first)
    play.pass_time(BOUND_SECONDS - 8.0 + 0.1)
    play.tell("b", "failed", error=FAILED)
    assert play.find("a", "undo") is None
    play.pass_time(8.0)
    assert play.find("a", "undo") is not None

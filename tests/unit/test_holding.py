"""Hold and release (rule_B7): what comes is recorded, nothing new begins, and time in hold costs nothing."""

from sagas.decide import decide
from sagas.inputs import Answer, Cancel, Due, Hold, Input, Release, Repair
from sagas.manifest import Handler, Node
from tests.unit.test_decisions import FAILED, SAGA, Play, node
from tests.unit.test_waiting import DAY, sleep, wait

RETRYABLE = {**FAILED, "retryable": True}


def ask(play: Play, word: Input) -> Answer:
    decision = decide(play.manifest, play.state, word, play.now)
    play.state = decision.state
    play.history += decision.recorded
    return decision.answer


def hold(play: Play) -> Answer:
    return ask(play, Hold(SAGA, "look first", "h1", "op"))


def release(play: Play) -> Answer:
    return ask(play, Release(SAGA, "go on", "r1", "op"))


def test_an_outcome_is_recorded_and_what_follows_waits_for_the_release() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    assert hold(play).code == "accepted"
    play.tell("a")
    assert play.state.step("a").status == "succeeded"
    assert play.find("b", "step") is None
    assert release(play).code == "accepted"
    assert play.find("b", "step") is not None


def test_holding_twice_and_releasing_what_is_not_held_change_nothing() -> None:
    play = Play(node("a"))
    assert release(play).code == "nothing"
    hold(play)
    assert hold(play).code == "nothing"
    release(play)
    play.tell("a")
    assert hold(play).code == "refused"


def test_a_lost_worker_is_followed_by_its_next_attempt_only_at_the_release() -> None:
    play = Play(node("a"))
    hold(play)
    play.tell("a", "unknown", cause="worker_lost")
    assert play.find("a", "step") is None
    assert play.find("a", "retry") is not None
    play.pass_time(100)
    assert play.find("a", "step") is None
    release(play)
    play.pass_time(0.1)
    assert play.command("a").attempt == 2


UNTIL = Node("until", "sleep_until", "sleep", moment="input.at")
MOMENT = (("input.at", "moment"),)


def test_a_hold_does_not_move_the_instant_of_a_pause_until_one_as_it_moves_all_other_waits() -> None:
    play = Play(UNTIL, sleep(), wait(), value={"at": "1970-01-01T00:18:20Z"}, paths=MOMENT)
    hold(play)
    play.pass_time(60)
    release(play)
    due = [play.find("until", "timer"), play.find("pause", "timer"), play.find("ok", "signal")]
    assert [one.due_at for one in due if one is not None] == [1100.0, 1000.0 + 120, 1000.0 + 60 + DAY]


def test_an_instant_that_passed_in_hold_has_come_at_the_release() -> None:
    play = Play(UNTIL, node("a", after=("until",)), value={"at": "1970-01-01T00:17:40Z"}, paths=MOMENT)
    hold(play)
    play.pass_time(3600)
    assert play.state.step("until").status == "running"
    release(play)
    play.pass_time(0)
    assert play.command("a").attempt == 1


def test_a_fallback_waits_for_the_release() -> None:
    play = Play(node("a", fallback=Handler("other")))
    hold(play)
    play.tell("a", "failed", error=FAILED)
    assert play.find("a", "fallback") is None
    release(play)
    play.pass_time(0.1)
    assert play.command("a").kind == "fallback"


def test_an_undo_waits_for_the_release() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    play.tell("a")
    hold(play)
    play.tell("b", "failed", error=FAILED)
    assert play.state.status == "compensating"
    assert play.find("a", "undo") is None
    release(play)
    assert play.find("a", "undo") is not None


def test_a_cancel_is_acted_on_at_the_release() -> None:
    play = Play(node("a"), node("b", after=("a",)))
    play.tell("a")
    hold(play)
    assert ask(play, Cancel(SAGA, "stop", "c1")).code == "accepted"
    assert play.state.status == "active"
    release(play)
    assert type(play.history[-1].event).__name__ == "SagaTurnedBack"


def test_time_in_hold_burns_no_deadline_and_no_delay() -> None:
    play = Play(wait(), deadline=2 * DAY)
    play.now += DAY / 2
    hold(play)
    play.pass_time(30 * DAY)
    assert play.state.status == "active"
    release(play)
    play.pass_time(DAY / 2 - 1)
    assert play.find("ok", "signal") is not None
    play.pass_time(2)
    assert play.find("ok", "signal") is None


def test_a_wait_that_was_opened_during_the_hold_is_moved_by_what_it_saw_of_it() -> None:
    play = Play(node("a"))
    hold(play)
    play.now += 100
    play.tell("a", "failed", error=RETRYABLE)
    play.now += 10
    release(play)
    retry = play.find("a", "retry")
    assert retry is not None
    assert retry.due_at == play.now + 1.0


def test_a_wait_of_a_held_saga_is_not_repaired() -> None:
    """rule_K2: what ends no wait would be repaired again and again."""
    play = Play(node("a"), sleep("pause", 60.0))
    pause = play.find("pause", "timer")
    assert pause is not None
    hold(play)
    play.now += 100.0
    assert ask(play, Repair(SAGA, pause.opened_by, "wait overdue")).code == "nothing"
    release(play)
    play.pass_time(60.0)
    assert play.state.step("pause").status == "succeeded"


def test_a_wait_that_a_hold_has_moved_is_not_acted_on_by_its_old_date() -> None:
    """rule_A1, rule_B7: the input that comes too early would be told of once more by the one that comes in time."""
    play = Play(node("a", delays=()))
    play.tell("a", "unknown", cause="timed_out")
    (timer,) = [wait for wait in play.state.waits.values() if wait.kind == "timer"]
    hold(play)
    play.now += 5
    release(play)
    play.now = (timer.due_at or 0.0) + 0.1
    ask(play, Due(SAGA, timer.opened_by))
    assert play.find("a", "undo") is None
    play.pass_time(5)
    assert play.find("a", "undo") is not None

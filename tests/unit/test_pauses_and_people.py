"""What operators may do about pauses and waits: correct an instant, and be told what ends them."""

import pytest

from sagas.inputs import Correct, Due, Resolve, TryAgain
from sagas.manifest import Node
from tests.unit.test_decisions import SAGA, Play, node
from tests.unit.test_holding import ask
from tests.unit.test_waiting import sleep, wait


def until_what_is_said() -> Play:
    """A pause until an instant that the input names, 60 s from now."""
    until = Node("until", "sleep_until", "sleep", moment="input.at")
    value = {"at": "1970-01-01T00:17:40Z"}
    return Play(until, node("a", after=("until",)), value=value, paths=(("input.at", "moment"),))


def test_an_instant_that_is_corrected_while_it_is_waited_for_holds_at_once() -> None:
    play = until_what_is_said()
    first = play.find("until", "timer")
    assert ask(play, Correct(SAGA, "later", "k1", value={"at": "1970-01-01T00:18:40Z"})).code == "accepted"
    timer = play.find("until", "timer")
    assert first is not None
    assert timer is not None
    assert (timer.due_at, first.opened_by in play.state.waits, len(play.state.waits)) == (1120.0, False, 1)
    play.give(Due(SAGA, first.opened_by))
    play.pass_time(60)
    assert play.find("a", "step") is None
    play.pass_time(60)
    assert play.find("a", "step") is not None


def test_a_correction_that_leaves_the_instant_as_it_is_leaves_its_timer() -> None:
    play = until_what_is_said()
    before = play.find("until", "timer")
    assert ask(play, Correct(SAGA, "name", "k1", value={"at": "1970-01-01T00:17:40Z", "n": 1})).code == "accepted"
    assert play.find("until", "timer") == before


def test_an_instant_that_is_corrected_once_it_has_passed_changes_nothing() -> None:
    play = until_what_is_said()
    play.pass_time(60)
    assert ask(play, Correct(SAGA, "later", "k1", value={"at": "1970-01-01T00:30:00Z"})).code == "accepted"
    assert play.find("until", "timer") is None


@pytest.mark.parametrize(
    ("waits", "says"),
    [
        (wait("ok"), "'ok' is a wait: it ends when somebody sends it, or after 1 day"),
        (sleep("ok"), "'ok' is a pause: it ends by itself, after 1 minute"),
        (Node("ok", "sleep_until", "sleep", moment="input.at"), "'ok' is a pause: it ends by itself, at input.at"),
    ],
    ids=["wait", "sleep", "sleep_until"],
)
def test_an_operator_who_takes_a_wait_for_a_step_is_told_what_it_is_and_what_ends_it(waits: Node, says: str) -> None:
    play = Play(waits, node("a", after=("ok",)))
    for word in (
        TryAgain(SAGA, "go on", "t1", step="ok"),
        Resolve(SAGA, "go on", "t2", step="ok", outcome="skip"),
        Correct(SAGA, "go on", "t3", step="ok", value=1),
    ):
        told = ask(play, word)
        assert (told.code, told.detail) == ("refused", says)

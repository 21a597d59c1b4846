"""Each verb in each state: done, changes nothing, or refused with a reason that says why it makes no sense."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sagas.inputs import Asked, Cancel, Correct, Hold, Outcome, Release, Resolve, Send, TryAgain
from sagas.manifest import Handler, Node
from tests.unit.test_decisions import BOUND_SECONDS, FAILED, SAGA, Play, node
from tests.unit.test_holding import ask
from tests.unit.test_waiting import wait

RETRYABLE = {**FAILED, "retryable": True}
TOLD = (SAGA, "because", "r1", "op")
STEP = "b"
VERBS: dict[str, Asked | Send] = {
    "signal": Send(SAGA, "ok", {"yes": True}, "r1"),
    "cancel": Cancel(*TOLD),
    "hold": Hold(*TOLD),
    "release": Release(*TOLD),
    "retry": TryAgain(*TOLD, step=STEP),
    "retry_undo": TryAgain(*TOLD, step=STEP, undo=True),
    "correct": Correct(*TOLD, step=STEP, value=2),
    "correct_input": Correct(*TOLD, value={}),
    "happened": Resolve(*TOLD, step=STEP, outcome="happened", value=1),
    "did_not_happen": Resolve(*TOLD, step=STEP, outcome="did_not_happen"),
    "skip": Resolve(*TOLD, step=STEP, outcome="skip"),
    "undone": Resolve(*TOLD, step=STEP, outcome="undone"),
    "accept": Resolve(*TOLD, outcome="accept"),
}


def saga(**more: Any) -> Play:
    """a, then b, then a wait, then c."""
    return Play(
        node("a"), node("b", after=("a",), **more), wait(name="ok", after=("b",)), node("c", after=("ok",)), value={}
    )


def pending() -> Play:
    return saga()


def scheduled() -> Play:
    play = saga()
    play.tell("a")
    return play


def retrying() -> Play:
    play = scheduled()
    play.tell("b", "failed", error=RETRYABLE)
    return play


def succeeded() -> Play:
    play = scheduled()
    play.tell("b", result=1)
    return play


def held() -> Play:
    play = succeeded()
    ask(play, Hold(SAGA, "look", "h"))
    return play


def undoing() -> Play:
    play = succeeded()
    ask(play, Cancel(SAGA, "no", "c"))
    return play


def undo_delayed() -> Play:
    play = undoing()
    play.tell("b", "failed", error=RETRYABLE)
    return play


def undo_failed() -> Play:
    play = undoing()
    for _ in range(3):
        play.tell("b", "failed", error=RETRYABLE)
        play.pass_time(1.1)
    assert play.state.status == "failed"
    return play


def closed() -> Play:
    play = undo_failed()
    ask(play, Resolve(SAGA, "leave it", "s", outcome="accept"))
    return play


def compensated() -> Play:
    play = undoing()
    play.tell("b")
    play.tell("a")
    assert play.state.status == "compensated"
    return play


def late_effect() -> Play:
    """Compensated, and then b had an effect all the same."""
    play = scheduled()
    first = play.command("b")
    play.tell("b", "unknown", cause="worker_lost")
    play.tell("b")
    ask(play, Cancel(SAGA, "no", "c"))
    play.pass_time(BOUND_SECONDS + 0.1)
    play.tell("b")
    play.tell("a")
    assert play.state.status == "compensated"
    play.tell("b", wait=first)
    return play


def completed() -> Play:
    play = succeeded()
    ask(play, Send(SAGA, "ok", {"yes": True}, "s"))
    play.tell("c")
    assert play.state.status == "completed"
    return play


def behind(**more: Any) -> Play:
    """A pivot, then b, on an operator's desk."""
    last: Node = node("b", "retriable", after=("p",), delays=(), **more)
    play = Play(node("p", "pivot"), last, wait(name="ok", after=("b",), on_timeout="continue"), value={})
    play.tell("p")
    return play


def behind_failed() -> Play:
    play = behind()
    play.tell("b", "failed", error=FAILED)
    return play


def behind_unknown() -> Play:
    play = behind()
    play.tell("b", "unknown", cause="timed_out")
    return play


def pivot(**more: Any) -> Play:
    play = Play(node("a"), node("b", "pivot", after=("a",), delays=(), **more), value={})
    play.tell("a")
    return play


def pivot_in_flight() -> Play:
    return pivot()


def pivot_unknown() -> Play:
    play = pivot()
    play.tell("b", "unknown", cause="timed_out")
    return play


def pivot_unknown_for_long() -> Play:
    play = pivot_unknown()
    play.pass_time(BOUND_SECONDS + 0.1)
    return play


ALWAYS = "cancel hold correct_input"
TABLE: dict[Callable[[], Play], tuple[str, str]] = {
    pending: (f"signal {ALWAYS}", "release"),
    scheduled: (f"signal {ALWAYS}", "release"),
    retrying: (f"signal {ALWAYS} retry", "release"),
    succeeded: (f"signal {ALWAYS} correct", "release"),
    held: ("signal cancel correct_input correct release", "hold"),
    undoing: ("hold correct_input", "cancel release"),
    undo_delayed: ("hold correct_input retry retry_undo", "cancel release"),
    undo_failed: ("hold correct_input retry retry_undo undone accept", "release"),
    closed: ("", "accept release"),
    compensated: ("", "release"),
    late_effect: ("retry retry_undo undone accept", "release"),
    completed: ("", "release"),
    behind_failed: ("signal hold correct_input retry happened did_not_happen skip", "release"),
    behind_unknown: ("signal hold correct_input retry happened", "release"),
    pivot_in_flight: (ALWAYS, "release"),
    pivot_unknown: (f"{ALWAYS} retry happened", "release"),
    pivot_unknown_for_long: (f"{ALWAYS} retry happened did_not_happen", "release"),
}
"""What each state takes, and what it is so already; all else is refused."""

REASONS = [
    (pending, "retry", "'b' waits neither for an operator nor for its delay: it is pending"),
    (pending, "accept", "the saga is active: only one that rests can be closed"),
    (scheduled, "happened", "'b' is scheduled: wait for its outcome"),
    (retrying, "retry_undo", "the undo of 'b' waits for nobody: 'b' is retrying"),
    (succeeded, "happened", "'b' is succeeded: whether it happened is no question"),
    (succeeded, "undone", "'b' is succeeded: nobody is asked to undo it"),
    (held, "accept", "the saga is held: release it first"),
    (undoing, "signal", "the saga is compensating: nobody waits for 'ok' any more"),
    (undoing, "retry", "'b' is undoing: wait for its outcome"),
    (undo_failed, "cancel", "the saga is failed"),
    (undo_failed, "did_not_happen", "'b' is undo_failed and waits for no operator"),
    (closed, "hold", "the saga is closed"),
    (closed, "correct_input", "the saga is closed"),
    (closed, "retry", "the saga is closed"),
    (compensated, "correct", "the saga is compensated"),
    (completed, "cancel", "the saga is completed"),
    (behind_failed, "cancel", "there is no way back: the pivot 'p' has passed"),
    (behind_failed, "correct", "'b' is failed: only what a step gave can be corrected"),
    (behind_unknown, "skip", "an attempt of 'b' may still run until 1970-01-01T00:16:54+00:00"),
    (pivot_unknown_for_long, "skip", "'b' stands before the pivot: what comes after would go on without it"),
]
CASES = [(state, verb) for state in TABLE for verb in VERBS]


@pytest.mark.parametrize(("state", "verb"), CASES, ids=[f"{state.__name__}-{verb}" for state, verb in CASES])
def test_a_verb_is_done_or_refused_with_its_reason(state: Callable[[], Play], verb: str) -> None:
    accepted, nothing = TABLE[state]
    wanted = "accepted" if verb in accepted.split() else "nothing" if verb in nothing.split() else "refused"
    play = state()
    before, history = play.state, len(play.history)
    told = ask(play, VERBS[verb])
    assert told.code == wanted, told
    if wanted == "accepted":
        assert play.history[history].actor == (None if verb == "signal" else "op")
        assert play.history[history].causation == "r1"
    else:
        assert told.detail
        assert (play.state, len(play.history)) == (before, history)


@pytest.mark.parametrize(("state", "verb", "says"), REASONS)
def test_the_reason_names_what_stands_in_the_way(state: Callable[[], Play], verb: str, says: str) -> None:
    assert ask(state(), VERBS[verb]) == replace(ask(state(), VERBS[verb]), code="refused", detail=says)


@pytest.mark.parametrize("verb", list(VERBS))
@pytest.mark.parametrize("state", list(TABLE))
def test_what_has_moved_since_it_was_seen_is_left_alone(state: Callable[[], Play], verb: str) -> None:
    play = state()
    before = play.state
    word = replace(VERBS[verb], expected=play.state.version - 1)
    told = ask(play, word)
    assert (told.code, told.version) == ("moved", before.version)
    assert f"version {before.version} and no longer at {before.version - 1}" in (told.detail or "")
    assert play.state == before
    assert ask(state(), replace(word, expected=before.version)) == ask(state(), VERBS[verb])


def test_an_undo_that_waits_for_its_delay_can_be_tried_at_once() -> None:
    play = undo_delayed()
    attempt = play.state.step("b").attempt
    assert ask(play, VERBS["retry_undo"]).code == "accepted"
    assert (play.command("b").kind, play.command("b").attempt) == ("undo", attempt + 1)
    assert play.find("b", "retry") is None
    play.tell("b")
    assert play.command("a").kind == "undo"


def test_a_failed_undo_of_one_item_is_resolved_alone() -> None:
    each = node("a", each="input.items", delays=())
    play = Play(each, node("z", after=("a",)), value={"items": [1, 2]}, paths=(("input.items", "each"),))
    for item in (0, 1):
        _tell_item(play, item)
    play.tell("z", "failed", error=FAILED)
    for _ in range(3):
        _tell_item(play, 1, kind="failed", error=RETRYABLE)
        play.pass_time(1.1)
    _tell_item(play, 0)
    assert play.find("z", "operator") is None
    assert ask(play, Resolve(*TOLD, step="a", item=0, outcome="undone")).code == "refused"
    assert ask(play, Resolve(*TOLD, step="a", item=1, outcome="undone")).code == "accepted"
    assert play.state.status == "compensated"


def _tell_item(play: Play, item: int, kind: Any = "succeeded", **more: Any) -> None:
    out = play.state.wait_of("a", item, "step", "undo")
    assert out is not None
    play.give(Outcome(SAGA, out.opened_by, out.attempt, "a", item, out.role, kind, **more))


def test_a_step_that_fell_back_keeps_its_place_on_the_desk() -> None:
    play = behind(fallback=Handler("other"))
    play.tell("b", "failed", error=FAILED)
    play.tell("b", "failed", error=FAILED)
    assert ask(play, VERBS["retry"]).code == "accepted"
    assert play.command("b").kind == "fallback"

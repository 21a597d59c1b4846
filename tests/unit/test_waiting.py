"""What a saga itself waits for: signals that come before, in time, late or never, and pauses (def_R7, rule_B6)."""

import time
from typing import Any

import pytest

from sagas import events as e
from sagas.decide import decide
from sagas.facts import instant_of
from sagas.inputs import Answer, Cancel, Repair, Send
from sagas.manifest import Node
from sagas.numbers import DEFAULT_NUMBERS
from tests.unit.test_decisions import FAILED, SAGA, Play, node

DAY = 86_400.0


def wait(name: str = "ok", on_timeout: Any = "compensate", after: tuple[str, ...] = (), timeout: float = DAY) -> Node:
    return Node(name, "signal", "signal", after=after, timeout=timeout, on_timeout=on_timeout)


def sleep(name: str = "pause", length: float = 60.0, after: tuple[str, ...] = ()) -> Node:
    return Node(name, "sleep", "sleep", after=after, length=length)


def send(play: Play, name: str = "ok", value: Any = True, request_id: str = "r1") -> Answer:
    decision = decide(play.manifest, play.state, Send(SAGA, name, value, request_id), play.now)
    play.state = decision.state
    play.history += decision.recorded
    return decision.answer


def kinds(play: Play) -> list[str]:
    return [type(entry.event).__name__ for entry in play.history]


def test_a_signal_ends_its_wait_and_what_comes_after_begins() -> None:
    play = Play(wait(), node("a", after=("ok",)))
    opened = play.find("ok", "signal")
    assert opened is not None
    assert opened.due_at == play.now + DAY
    assert play.find("a", "step") is None
    assert send(play).code == "accepted"
    assert play.state.step("ok").status == "succeeded"
    assert play.find("ok", "signal") is None
    assert play.find("a", "step") is not None


def test_a_signal_that_comes_before_its_wait_is_kept_for_it() -> None:
    play = Play(node("a"), wait(after=("a",)), node("b", after=("ok",)))
    send(play, value={"by": "Bo"})
    assert play.state.step("ok").status == "pending"
    play.tell("a")
    assert play.state.step("ok").status == "succeeded"
    assert play.find("b", "step") is not None
    taken = [entry.event.taken for entry in play.history if isinstance(entry.event, e.SignalReceived)]
    assert taken == [False]


def test_of_several_signals_the_first_counts_and_the_others_are_evidence() -> None:
    play = Play(node("a"), wait(after=("a",)))
    for number in range(3):
        send(play, value=number, request_id=f"r{number}")
    play.tell("a")
    result = play.state.step("ok").result
    assert result is not None
    assert result.inline == 0
    assert play.state.step("ok").signals == 3
    assert play.state.status == "completed"
    assert send(play, request_id="late").code == "refused"


def test_no_more_signals_are_kept_than_may_be() -> None:
    play = Play(node("a"), wait(after=("a",)))
    for number in range(DEFAULT_NUMBERS.signals_max):
        assert send(play, request_id=f"r{number}").code == "accepted"
    told = send(play, request_id="one too many")
    assert (told.code, told.detail) == ("refused", "'ok' was sent 100 times already")


def test_a_name_that_is_no_wait_is_refused() -> None:
    play = Play(node("a"), wait(after=("a",)))
    assert send(play, "a").detail == "no wait is called 'a'"
    assert send(play, "nonsense").code == "refused"


def test_when_nobody_sends_the_saga_turns_back_and_says_why() -> None:
    play = Play(node("a"), wait(after=("a",)), node("b", after=("ok",)))
    play.tell("a")
    play.pass_time(DAY + 1)
    (turned,) = [entry.event for entry in play.history if isinstance(entry.event, e.SagaTurnedBack)]
    assert (turned.cause, turned.reason) == ("timeout", "nobody sent 'ok' within 1 day")
    play.tell("a")
    assert play.state.status == "compensated"
    assert not play.state.waits
    assert send(play).detail == "the saga is compensated: nobody waits for 'ok' any more"


def test_when_nobody_sends_the_saga_may_go_on_without() -> None:
    play = Play(wait(on_timeout="continue"), node("a", after=("ok",)))
    play.pass_time(DAY + 1)
    step = play.state.step("ok")
    assert step.status == "succeeded"
    assert step.result is not None
    assert step.result.inline is None
    assert play.find("a", "step") is not None
    assert send(play).code == "accepted", "it is kept as evidence"
    assert play.state.step("ok").result == step.result


def test_a_pause_ends_by_time_alone() -> None:
    play = Play(sleep(), node("a", after=("pause",)))
    play.pass_time(59)
    assert play.find("a", "step") is None
    play.pass_time(2)
    assert play.state.step("pause").status == "succeeded"
    assert play.find("a", "step") is not None


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [("1970-01-01T00:17:40Z", 60.0), ("1970-01-01T00:00:00+00:00", 0.0), (None, 0.0)],
)
def test_a_pause_until_an_instant_that_has_passed_or_is_missing_ends_at_once(moment: Any, seconds: float) -> None:
    until = Node("until", "sleep_until", "sleep", moment="input.at")
    play = Play(until, value={"at": moment}, paths=(("input.at", "moment"),))
    opened = play.find("until", "timer")
    assert opened is not None
    assert opened.due_at == play.now + seconds


def test_an_instant_without_a_time_zone_is_the_same_whichever_zone_the_process_is_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        found = instant_of("1970-01-01T00:17:40")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == 1_060_000


def test_turning_back_withdraws_what_is_only_waited_for() -> None:
    play = Play(node("a"), wait(after=("a",)), sleep(after=("a",)), node("b", after=("ok", "pause")))
    play.tell("a")
    play.give(Cancel(SAGA, "stop", "c1"))
    assert play.find("ok", "signal") is None
    assert play.find("pause", "timer") is None
    assert [play.state.step(name).status for name in ("ok", "pause")] == ["pending", "pending"]
    play.tell("a")
    assert play.state.status == "compensated"
    assert "StepUndone" in kinds(play)


def test_a_signal_while_a_step_beside_it_fails_leaves_nothing_waiting() -> None:
    play = Play(node("a"), wait(), node("b", after=("ok",)))
    play.tell("a", "failed", error=FAILED)
    assert play.state.status == "compensated"
    assert not play.state.waits


def test_a_wait_that_no_orchestrator_ended_is_ended_by_a_repair() -> None:
    play = Play(wait(on_timeout="continue"))
    opened = play.find("ok", "signal")
    assert opened is not None
    play.now += DAY + 10
    play.give(Repair(SAGA, opened.opened_by, "wait overdue"))
    assert play.state.status == "completed"


def test_whether_a_signal_says_yes_decides_what_comes_after() -> None:
    play = Play(wait(), node("a", after=("ok",), when="ok.yes"), paths=(("ok.yes", "when"),))
    send(play, value={"yes": False})
    assert play.state.step("a").status == "skipped"
    assert play.state.status == "completed"

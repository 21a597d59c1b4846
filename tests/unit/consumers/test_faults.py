"""Injected faults are said in one line, and wrong lines are refused."""

import pytest

from consumers.faults import Fault, parse_faults


def test_faults_are_read() -> None:
    assert parse_faults("approval.tasks=fail, trip.hotel:undo=sleep:3,a.b=maybe,a.c=hang") == {
        ("approval", "tasks", "step"): Fault("fail"),
        ("trip", "hotel", "undo"): Fault("sleep", 3.0),
        ("a", "b", "step"): Fault("maybe"),
        ("a", "c", "step"): Fault("hang"),
    }
    assert parse_faults("") == {}


@pytest.mark.parametrize("text", ["rubbish", "a.b=explode", "a.b=sleep:x", "a.b:other=fail"])
def test_a_wrong_fault_says_how_it_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="is no fault; write"):
        parse_faults(text)

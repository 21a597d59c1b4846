"""Every event type exists, and what was written once can be read for ever."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from sagas.codec import decode, encode
from sagas.events import EVENT_TYPES
from sagas.state import StepStatus, WaitKind
from tests.unit.events.samples import GOLDEN, document, sample

CLOSED_EVENTS = [
    "SagaStarted",
    "SagaCompleted",
    "SagaTurnedBack",
    "SagaCompensated",
    "SagaFailed",
    "SagaReopened",
    "StepScheduled",
    "StepStarted",
    "StepProgressed",
    "StepSucceeded",
    "StepFailed",
    "StepRefused",
    "StepOutcomeUnknown",
    "StepSkipped",
    "FallbackScheduled",
    "FallbackUsed",
    "ProbeScheduled",
    "ProbeAnswered",
    "UndoScheduled",
    "StepUndone",
    "UndoFailed",
    "WaitOpened",
    "SignalReceived",
    "TimerFired",
    "ChildStarted",
    "ChildEnded",
    "LateOutcomeSeen",
    "SagaHeld",
    "SagaReleased",
    "CancelRequested",
    "RetryRequested",
    "ValueCorrected",
    "StepResolved",
    "SagaMigrated",
    "RepairApplied",
    "BreakerOpened",
    "BreakerHalfOpened",
    "BreakerClosed",
]


def test_the_set_of_events_is_closed() -> None:
    assert sorted(EVENT_TYPES) == sorted(CLOSED_EVENTS)


def test_the_sets_of_waits_and_statuses_are_closed() -> None:
    waits = "step undo probe fallback retry timer signal breaker child deadline notify operator"
    assert get_args(WaitKind) == tuple(waits.split())
    statuses = "pending scheduled running retrying succeeded failed unknown skipped undoing undone undo_failed"
    assert get_args(StepStatus) == tuple(statuses.split())


@pytest.mark.parametrize("name", CLOSED_EVENTS)
def test_an_event_survives_being_written(name: str) -> None:
    event = sample(EVENT_TYPES[name])
    assert decode(name, json.loads(json.dumps(encode(event)))) == event


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_golden_file_can_be_read_and_is_what_would_be_written(path: Path) -> None:
    golden = json.loads(path.read_text("utf-8"))
    kind = EVENT_TYPES[golden["type"]]
    assert decode(golden["type"], golden["data"]) == sample(kind)
    assert document(kind) == golden


def test_every_type_has_a_golden_file_of_its_version() -> None:
    versions = {path.stem for path in GOLDEN.glob("*.json")}
    assert versions == {f"{name}.v{kind.VERSION}" for name, kind in EVENT_TYPES.items()}
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+\.v\d+", version) for version in versions)

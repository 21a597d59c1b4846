"""Every event type exists, and what was written once can be read for ever."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from sagas import versions
from sagas.codec import decode, encode
from sagas.events import EVENT_TYPES, Recorded, SagaHeld, SagaStarted
from sagas.evolve import IllegalEvent, evolve
from sagas.state import State
from sagas.statuses import StepStatus, WaitKind
from sagas.versions import CAME_WITH, FORMAT, RELEASES, UPCASTERS, Newer, Upcaster, upcast
from tests.unit.events.samples import GOLDEN, MANIFEST, document, fold, manifest, sample

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
def test_what_was_written_once_is_read_and_folded_for_ever(path: Path) -> None:
    golden = json.loads(path.read_text("utf-8"))
    read = decode(golden["type"], golden["data"], golden["version"])
    assert type(read).__name__ == golden["type"]
    kept, found = golden["state"], fold(golden["history"])
    assert {name: found[name] for name in kept} == kept, "the fold of an old history has changed"


@pytest.mark.parametrize("name", CLOSED_EVENTS)
def test_a_type_that_changes_has_a_new_version_with_a_golden_file_and_an_upcaster(name: str) -> None:
    kind = EVENT_TYPES[name]
    golden = json.loads((GOLDEN / f"{name}.v{kind.VERSION}.json").read_text("utf-8"))
    assert document(kind) == golden, "raise VERSION, add an upcaster and CAME_WITH (sagas/versions.py), write the file"
    for version in range(1, kind.VERSION):
        assert (name, version) in UPCASTERS
        assert (GOLDEN / f"{name}.v{version}.json").exists()


def test_every_type_has_a_golden_file_of_its_version() -> None:
    versions = {path.stem for path in GOLDEN.glob("*.json")}
    assert versions >= {f"{name}.v{kind.VERSION}" for name, kind in EVENT_TYPES.items()}
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+\.v\d+", version) for version in versions)


def test_what_came_later_says_with_which_format() -> None:
    assert set(RELEASES) == set(range(1, FORMAT + 1))
    assert set(CAME_WITH.values()) <= set(RELEASES)
    later = {(name, kind.VERSION) for name, kind in EVENT_TYPES.items() if kind.VERSION > 1}
    assert later <= CAME_WITH.keys()


def test_a_manifest_that_changes_changes_the_events_that_name_one() -> None:
    """Else an older program would meet it unprepared."""
    assert manifest() == json.loads(MANIFEST.read_text("utf-8")), "see sagas/versions.py"


def test_old_data_go_through_every_upcaster_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SagaHeld, "VERSION", 3)
    steps: dict[tuple[str, int], Upcaster] = {
        ("SagaHeld", 1): lambda data: {**data, "reason": data["why"]},
        ("SagaHeld", 2): lambda data: {"reason": f"{data['reason']}!"},
    }
    assert upcast("SagaHeld", 1, {"why": "no"}, steps) == {"reason": "no!"}
    assert upcast("SagaHeld", 2, {"reason": "no"}, steps) == {"reason": "no!"}
    assert upcast("SagaHeld", 3, {"reason": "no"}, steps) == {"reason": "no"}
    with pytest.raises(KeyError):
        upcast("SagaHeld", 1, {}, {})


@pytest.mark.parametrize(("kind", "version"), [("StepPaused", 1), ("StepSucceeded", 99)])
def test_what_a_newer_program_wrote_is_kept_as_it_stands_and_never_folded(kind: str, version: int) -> None:
    data = {"step": "hotel", "attempt": 2, "mood": "good"}
    event = decode(kind, data, version)
    assert event == Newer(step="hotel", attempt=2, type=kind, version=version, data=data)
    assert encode(event) == data
    state = evolve(State("s"), Recorded(sample(SagaStarted), 1, 0.0, "1"))
    with pytest.raises(IllegalEvent):
        evolve(state, Recorded(event, 2, 0.0, "2"))


def test_a_head_says_which_program_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started = evolve(State("s"), Recorded(sample(SagaStarted), 1, 0.0, "1"))
    assert (started.format, started.newer) == (1, False)
    with monkeypatch.context() as newer:
        newer.setattr(versions, "CAME_WITH", {("SagaHeld", 1): 2})
        newer.setattr("sagas.state.RELEASES", {1: "0.1", 2: "0.2"})
        held = evolve(started, Recorded(sample(SagaHeld), 2, 0.0, "2"))
        written = held.to_json()
    found = State.from_json(written)
    assert found.newer
    assert (found.saga_id, found.version, found.release) == ("s", 2, "0.2")
    assert not found.waits


@pytest.mark.parametrize(
    "more", [{"mood": 1}, {"steps": [["a", None, {"mood": 1}]]}, {"waits": [{"opened_by": 1, "kind": "x", "mood": 1}]}]
)
def test_a_head_with_a_field_that_is_unknown_was_written_by_a_newer_program(more: dict[str, Any]) -> None:
    found = State.from_json(json.dumps({"saga_id": "s", "version": 3, "status": "compensating", **more}))
    assert (found.newer, found.version, found.status, found.release) == (True, 3, "compensating", None)

"""One event of each type, and golden files. Run as a module, it writes those of new versions; old ones never change."""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import orjson

from sagas.codec import decode, encode
from sagas.events import EVENT_TYPES, Event, Recorded, SagaStarted, StepResolved, StepScheduled
from sagas.evolve import evolve
from sagas.manifest import BreakerPolicy, Handler, Manifest, Node, Parameter, RetryPolicy
from sagas.state import State
from sagas.versions import format_of

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "events"
MANIFEST = GOLDEN.parent / "manifest.json"
SAGA = "01900000-0000-7000-8000-000000000001"
VALUES: dict[str, Any] = {
    "step": "hotel",
    "item": 1,
    "attempt": 2,
    "definition": "trip",
    "fingerprint": "f" * 64,
    "cause": "worker_lost",
    "why": "when",
    "reason": "because",
    "error": {"type": "Permanent", "code": "permanent", "message": "no", "attempt": 2, "retryable": False},
    "kind": "operator",
    "answer": "happened",
    "outcome": "unknown",
    "opened_by": 7,
    "name": "approval",
    "child_id": "01900000-0000-7000-8000-000000000002",
    "status": "completed",
    "percent": 50,
    "finding": "overdue",
    "repair": "fired",
    "breaker": "agents/amazon",
    "open_for": 60.0,
    "facts": {"when:input.gift": True},
    "result": {"code": "H1"},
    "retry_in": 5.0,
}


def sample(kind: type[Event]) -> Event:
    """An event with every field that matters set."""
    names = {entry.name: entry for entry in fields(kind)}
    given = {name: VALUES[name] for name in names if name in VALUES}
    if kind is StepResolved:
        given["outcome"] = "happened"
    missing = [name for name, entry in names.items() if entry.default is MISSING and entry.default_factory is MISSING]
    assert set(missing) <= given.keys(), f"{kind.__name__}: {missing}"
    return kind(**given)


def schema(kind: Any) -> dict[str, Any]:
    """The fields of a type, each with its default; `…` where it has none."""
    return {
        entry.name: repr(entry.default_factory() if entry.default_factory is not MISSING else entry.default)
        if entry.default is not MISSING or entry.default_factory is not MISSING
        else "…"
        for entry in fields(kind)
    }


def history(kind: type[Event]) -> list[dict[str, Any]]:
    """A short history that ends with an event of this type, as it is stored."""
    before: list[Event] = [sample(SagaStarted), sample(StepScheduled)] if kind is not SagaStarted else []
    return [
        {"type": type(one).__name__, "version": one.VERSION, "data": encode(one)} for one in (*before, sample(kind))
    ]


def fold(stored: list[dict[str, Any]]) -> dict[str, Any]:
    """What a stored history gives."""
    state = State(SAGA)
    for sequence, one in enumerate(stored, 1):
        event = decode(one["type"], one["data"], one["version"])
        state = evolve(state, Recorded(event, sequence, 1000.0 + sequence, str(sequence)))
    found: dict[str, Any] = orjson.loads(state.to_json())
    return found


def document(kind: type[Event]) -> dict[str, Any]:
    """What the golden file of a type holds."""
    told = history(kind)
    return {
        "type": kind.__name__, "version": kind.VERSION, "format": format_of(sample(kind)), "fields": schema(kind),
        "data": encode(sample(kind)), "history": told, "state": fold(told),
    }  # fmt: skip


def manifest() -> dict[str, Any]:
    """The fields of all that a manifest is made of."""
    parts = (Manifest, Node, Handler, Parameter, RetryPolicy, BreakerPolicy)
    return {"format": SagaStarted.VERSION, **{kind.__name__: schema(kind) for kind in parts}}


def main() -> None:
    """Write the files that are missing."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, kind in EVENT_TYPES.items():
        path = GOLDEN / f"{name}.v{kind.VERSION}.json"
        if not path.exists():
            path.write_text(json.dumps(document(kind), indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    if not MANIFEST.exists():
        MANIFEST.write_text(json.dumps(manifest(), indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()

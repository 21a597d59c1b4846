"""One event of each type, and golden files. Run as a module, it writes those of new types; old ones never change."""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from sagas.codec import encode
from sagas.events import EVENT_TYPES, Event

GOLDEN = Path(__file__).parent / "golden"
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
    missing = [name for name, entry in names.items() if entry.default is MISSING and entry.default_factory is MISSING]
    assert set(missing) <= given.keys(), f"{kind.__name__}: {missing}"
    return kind(**given)


def document(kind: type[Event]) -> dict[str, Any]:
    """What the golden file of a type holds."""
    return {"type": kind.__name__, "version": kind.VERSION, "data": encode(sample(kind))}


def main() -> None:
    """Write the files that are missing."""
    GOLDEN.mkdir(exist_ok=True)
    for name, kind in EVENT_TYPES.items():
        path = GOLDEN / f"{name}.v{kind.VERSION}.json"
        if not path.exists():
            path.write_text(json.dumps(document(kind), indent=2, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Rows as they are read: heads, manifests and events, also those that a newer program wrote (sagas/versions.py)."""

import logging
from dataclasses import replace
from typing import Any

import orjson

from sagas.codec import decode
from sagas.events import Recorded
from sagas.manifest import Manifest
from sagas.state import EMPTY, KEPT, State
from sagas.versions import FORMAT

log = logging.getLogger("amends.store")


def head_of(row: Any) -> State:
    """A head. Where the row has another version, somebody appended who does not know how heads look here."""
    state = State.from_json(row["state"])
    if row["version"] == state.version:
        return state
    kept = {name: getattr(state, name) for name in KEPT} | {"version": row["version"]}
    return replace(EMPTY, **kept, format=FORMAT + 1)


def manifest_of(row: Any) -> Manifest | None:
    """A manifest; None for one that a newer program wrote."""
    try:
        return Manifest.from_json(row["manifest"])
    except (KeyError, TypeError) as unknown:
        log.warning("manifest %s is of a newer program: %s", row["fingerprint"], unknown)
        return None


def recorded(row: Any) -> Recorded:
    """An event as it stands in the table."""
    return Recorded(
        event=decode(row["event_type"], orjson.loads(row["event_data"]), row["schema_version"]),
        sequence=row["sequence_number"],
        at=row["at"],
        causation=row["causation_id"],
        actor=row["actor"],
        trace=row["trace_id"],
    )

"""Files of archived sagas: JSON lines, compressed. The first line holds their manifests, each other one saga."""

import gzip
import os
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from eventstore.reading import head_of, manifest_of, recorded
from sagas.codec import value_in
from sagas.events import Json, Recorded
from sagas.manifest import Manifest
from sagas.ports import WaitRow
from sagas.state import State, Value

LAYOUT = 1
LEVEL = 6


@dataclass(frozen=True)
class ArchivedSaga:
    """A saga as it was when it was archived. It answers what views ask of a store."""

    state: State
    manifest: Manifest | None
    events: Sequence[Recorded]
    payloads: Mapping[str, Json] = field(default_factory=dict[str, Json])

    async def history(self, saga_id: str, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """Its events, in order."""
        return [entry for entry in self.events if entry.sequence > after][:limit]

    async def waits(self, saga_id: str) -> list[WaitRow]:
        """It waits for nothing."""
        return []

    async def values(self, wanted: Sequence[tuple[str, Value]]) -> list[Json]:
        """The values behind references."""
        events = {entry.sequence: value_in(entry.event) for entry in self.events}
        return [
            self.payloads[value.payload]
            if value.payload is not None
            else events[value.event]
            if value.event is not None
            else value.inline
            for _, value in wanted
        ]


async def write(path: Path, manifests: Mapping[str, str], lines: AsyncIterable[bytes]) -> None:
    """Write a file. Once this has returned it is whole, and on the disk; before that there is none of its name.

    It holds what sagas were given: only its owner and their group may read it.

    Raises:
        OSError: it cannot be written; what is written of it goes, since the disk may be full.
    """
    parents = [*path.parents]
    changed = [*parents[:3], *(folder.parent for folder in parents if not folder.exists())]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        await _write(part, manifests, lines)
        part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    for folder in dict.fromkeys(changed):  # those of the day, the archive and where that stands may be new, or any
        _sync(folder)


async def _write(part: Path, manifests: Mapping[str, str], lines: AsyncIterable[bytes]) -> None:
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as raw:
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=LEVEL) as packed:
            kept = {fingerprint: orjson.Fragment(text) for fingerprint, text in manifests.items()}
            packed.write(orjson.dumps({"layout": LAYOUT, "manifests": kept}) + b"\n")
            async for line in lines:
                packed.write(line + b"\n")
        raw.flush()
        os.fsync(raw.fileno())


def line_of(head: Mapping[str, Any], events: Sequence[Mapping[str, Any]], payloads: Mapping[str, bytes]) -> bytes:
    """A saga as a line. Its id stands first, so that a reader sees without decoding whose line it is."""
    return orjson.dumps(
        {
            "saga_id": head["saga_id"],
            **dict(head.items()),
            "state": orjson.Fragment(head["state"]),
            "events": [{**dict(row.items()), "event_data": orjson.Fragment(row["event_data"])} for row in events],
            "payloads": {digest: orjson.Fragment(body) for digest, body in payloads.items()},
        }
    )


def read(path: Path, saga_id: str) -> ArchivedSaga:
    """One saga of a file.

    Raises:
        OSError, EOFError: there is no such file, or it is damaged. LookupError: the saga is not in it.
    """
    begin = b'{"saga_id":"' + saga_id.encode() + b'"'
    with gzip.open(path, "rb") as lines:
        manifests: dict[str, Json] = orjson.loads(next(iter(lines)))["manifests"]
        for line in lines:
            if line.startswith(begin):
                return _saga_in(orjson.loads(line), manifests)
    raise LookupError(f"saga {saga_id} is not in {path}")


def _saga_in(found: Mapping[str, Any], manifests: Mapping[str, Json]) -> ArchivedSaga:
    state = head_of({"version": found["version"], "state": orjson.dumps(found["state"])})
    row = {"fingerprint": state.fingerprint, "manifest": orjson.dumps(manifests[state.fingerprint])}
    events = [recorded({**event, "event_data": orjson.dumps(event["event_data"])}) for event in found["events"]]
    return ArchivedSaga(state, manifest_of(row), events, found["payloads"])


def _sync(folder: Path) -> None:
    """A new name is on the disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

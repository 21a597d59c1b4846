"""Moves as arrays: one statement takes all sagas of a batch, sorted by id (rules A3, A6)."""

from collections.abc import Sequence
from typing import Any

import orjson

from eventstore.rows import frees_key
from sagas.codec import encode
from sagas.ports import Move

PLAIN = frozenset({*range(4), *range(5, 12), 13, *range(17, 22), 23, 24, *range(26, 31), 33, 34})
"""The columns of ids, numbers, flags and words of ours: as text the driver need not look at each element."""


def written(columns: Sequence[list[Any]]) -> list[Any]:
    """Columns as the statements take them: plain ones as text, others as arrays.

    Raises:
        TypeError: what should be an id or a word is none.
    """
    return [_text(column) if place in PLAIN else column for place, column in enumerate(columns)]


def _text(column: Sequence[object]) -> str:
    text = ",".join(["NULL" if value is None else str(value) for value in column])
    if column and (not text or text.count(",") != len(column) - 1):
        raise TypeError(f"an id or a word is empty, or has a comma: {text:.200}")
    return f"{{{text}}}"


def columns_of(moves: Sequence[Move]) -> list[list[Any]]:
    """The columns of `append.sql`: sagas, events, waits gone, waits new, outbox, freed keys, formats."""
    ordered = sorted(moves, key=lambda move: move.saga_id)
    last: list[list[Any]] = [_freed(ordered), [move.state.format for move in ordered]]
    return [*_sagas(ordered), *_events(ordered), *_gone(ordered), *_new(ordered), *_outbox(ordered), *last]


def keys_of(moves: Sequence[Move]) -> list[Any]:
    """What `start.sql` takes beside: definitions and keys."""
    ordered = sorted(moves, key=lambda move: move.saga_id)
    return [[move.state.definition for move in ordered], [move.state.key for move in ordered]]


def _sagas(moves: Sequence[Move]) -> list[list[Any]]:
    return [
        [move.saga_id for move in moves],
        [move.expected_version for move in moves],
        [move.state.version for move in moves],
        [move.state.status for move in moves],
        [move.state.to_json().decode() for move in moves],
        [move.state.fingerprint for move in moves],
        [move.state.held for move in moves],
        [move.state.closed for move in moves],
    ]


def _events(moves: Sequence[Move]) -> list[list[Any]]:
    events = [(move.saga_id, entry) for move in moves for entry in move.events]
    return [
        [saga_id for saga_id, _ in events],
        [entry.sequence for _, entry in events],
        [type(entry.event).__name__ for _, entry in events],
        [entry.event.VERSION for _, entry in events],
        [orjson.dumps(encode(entry.event)).decode() for _, entry in events],
        [entry.at for _, entry in events],
        [entry.causation for _, entry in events],
        [entry.actor for _, entry in events],
        [entry.trace for _, entry in events],
    ]


def _gone(moves: Sequence[Move]) -> list[list[Any]]:
    gone = [(move.saga_id, opened_by) for move in moves for opened_by in move.waits_gone]
    return [[saga_id for saga_id, _ in gone], [opened_by for _, opened_by in gone]]


def _new(moves: Sequence[Move]) -> list[list[Any]]:
    rows = [row for move in moves for row in move.waits_new]
    return [
        [row.saga_id for row in rows],
        [row.opened_by for row in rows],
        [row.kind for row in rows],
        [row.step for row in rows],
        [row.item for row in rows],
        [row.attempt for row in rows],
        [row.queue for row in rows],
        [row.priority for row in rows],
        [row.due_at for row in rows],
        [row.since for row in rows],
        [row.unsent for row in rows],
    ]


def _outbox(moves: Sequence[Move]) -> list[list[Any]]:
    owed = [(move.saga_id, row) for move in moves for row in move.outbox]
    return [
        [saga_id for saga_id, _ in owed],
        [row.event_type for _, row in owed],
        [orjson.dumps(row.data).decode() for _, row in owed],
    ]


def _freed(moves: Sequence[Move]) -> list[bool]:
    return [frees_key(move.state) for move in moves]

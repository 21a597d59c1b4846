"""Where the entries of commands are: unread, with somebody, or gone (rule L5)."""

from collections.abc import Sequence
from typing import Any

from consumers.envelopes import load_command
from consumers.keys import WORKERS, command_key
from consumers.replies import Id, id_of, pair
from consumers.wire import Wire
from sagas.ports import Command
from sagas.whereabouts import GONE, EntryState, Posted


async def states_of(wire: Wire, waits: Sequence[Posted], idle_ms_max: int) -> list[EntryState]:
    """Where the entries of these commands are, in one round trip; one that nobody renews for so long is gone."""
    places = [(command_key(row.queue or "", row.priority or "normal"), row.entry_id or "0-0") for row in waits]
    keys = list(dict.fromkeys(key for key, _ in places))
    batch: list[tuple[Any, ...]] = []
    for key, entry in places:
        batch += [("XRANGE", key, entry, entry), ("XPENDING", key, WORKERS, entry, entry, 1)]
    answers = await wire.many(
        [*batch, *(("XINFO", "GROUPS", key) for key in keys)], forgiven=("NOGROUP", "no such key")
    )
    read = {key: read_up_to(answer, WORKERS) for key, answer in zip(keys, answers[len(batch) :], strict=True)}
    return [
        entry_state(answers[2 * place], answers[2 * place + 1], idle_ms_max, read[key])
        for place, (key, _) in enumerate(places)
    ]


def entry_state(entries: Any, pending: Any, idle_ms_max: int, read: Id) -> EntryState:
    """Where an entry is, by what XRANGE and XPENDING say of it, and up to where its group has read (rule L5).

    One that nobody renews is gone, and so is one that was handed out and that nobody holds.
    """
    if not entries or (pending and pending[0][2] > idle_ms_max):
        return GONE
    name, fields = pair(entries[0])
    if not pending and id_of(name) <= read:
        return GONE
    command = load_command(fields.get(b"b", b""))
    timeout = command.timeout if isinstance(command, Command) else 0.0
    return EntryState("pending" if pending else "queued", timeout)


def read_up_to(groups: Any, group: str) -> Id:
    """Up to where a group has read its stream, by what XINFO GROUPS says."""
    for flat in groups or ():
        about = dict(zip(flat[::2], flat[1::2], strict=True))
        if about[b"name"] == group.encode():
            return id_of(about[b"last-delivered-id"])
    return (0, 0)

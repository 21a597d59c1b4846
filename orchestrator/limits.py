"""Start limits: steps that nobody began in time are taken back, if nobody has read their commands (rule L5)."""

import logging
from collections.abc import Iterable, Sequence

from sagas.inputs import Due
from sagas.ports import CommandSender, Store, TransportRefused, TransportUnavailable, WaitRow
from sagas.state import State, Waiting

log = logging.getLogger("amends.timers")

LIMIT_SECONDS = 1.0
REMEMBERED_MAX = 10_000
LEFT_MAX = 10
"""How often a command that was taken back is left to its limit."""


class StartLimits:
    """Finds what became of the commands whose start limits are over. What was taken back is remembered.

    So it is judged alike when the first judgement could not be committed; another process finds it lost instead.
    """

    def __init__(self, store: Store, sender: CommandSender) -> None:
        self._store = store
        self._sender = sender
        self._withdrawn: dict[Waiting, int] = {}

    def judges(self, command: Waiting) -> bool:
        """Whether a command is left to its limit, since it was taken back; not for ever: the limit may be gone."""
        return self._withdrawn.get(command, 0) > 0

    def left(self, commands: Iterable[Waiting]) -> None:
        """These were put off, once more."""
        for command in commands:
            self._withdrawn[command] -= 1

    async def judged(self, limits: Sequence[WaitRow]) -> list[Due]:
        """The limits that can be judged now; the others are looked at again in a second."""
        if not limits:
            return []
        heads = await self._store.heads(sorted({row.saga_id for row in limits}))
        now = await self._store.now()
        found: list[Due] = []
        asked: dict[Waiting, WaitRow] = {}
        for row in limits:
            command = _unbegun(heads[row.saga_id], row, now) if row.saga_id in heads else None
            if command is None:
                found.append(Due(row.saga_id, row.opened_by))
            else:
                asked[command] = row
        if asked:
            taken = {key for key in asked if key in self._withdrawn}
            taken |= await self._take([key for key in asked if key not in taken])
            found += [Due(row.saga_id, row.opened_by, "withdrawn") for key, row in asked.items() if key in taken]
            if later := [row for key, row in asked.items() if key not in taken]:
                await self._store.postpone([(row.saga_id, row.opened_by, LIMIT_SECONDS) for row in later])
        return found

    async def _take(self, commands: Sequence[Waiting]) -> set[Waiting]:
        """Take commands back: a marked one by its mark, a sent one out of its stream."""
        if not commands:
            return set()
        rows = await self._store.withdraw(commands)
        taken = {(row.saga_id, row.opened_by) for row in rows if row.unsent}
        sent = [row for row in rows if row.entry_id is not None and not row.unsent]
        try:
            unread = await self._sender.withdraw(sent) if sent else []
        except (TransportUnavailable, TransportRefused) as loss:
            log.warning("cannot take %d commands back: %s", len(sent), loss)
            unread = [False for _ in sent]
        taken |= {(row.saga_id, row.opened_by) for row, alone in zip(sent, unread, strict=True) if alone}
        self._withdrawn.update(dict.fromkeys(taken, LEFT_MAX))
        while len(self._withdrawn) > REMEMBERED_MAX:
            self._withdrawn.pop(next(iter(self._withdrawn)))
        return taken


def _unbegun(head: State, limit: WaitRow, now: float) -> Waiting | None:
    """The command that a limit is about, if the limit is over: a hold may have moved it further than its row says."""
    wait = head.waits.get(limit.opened_by)
    command = head.wait_of(limit.step, limit.item, "step")
    over = wait is not None and wait.due_at is not None and wait.due_at <= now
    return (limit.saga_id, command.opened_by) if command is not None and over and not head.held else None

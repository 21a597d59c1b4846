"""The store in memory: the same promises as PostgreSQL's as far as one process goes, for tests on virtual time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf

import orjson

from eventstore.rows import frees_key
from sagas.codec import encode, value_in
from sagas.events import Json, Recorded
from sagas.listing import SagaFilter, SagaRow
from sagas.manifest import Manifest, Priority
from sagas.peek import Peek
from sagas.ports import Claim, Committed, CommitUnknown, Move, OutboxRow, Published, Unstorable, WaitRow
from sagas.state import State, Value, Waiting
from sagas.storable import unstorable


class Transaction:
    """An append under way: its number in the order of beginning, and the positions that its events have."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.position: int | None = None


class MemoryStore:
    """Keeps everything in dictionaries. `now` is the clock of this database, in seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._heads: dict[str, State] = {}
        self._events: dict[str, list[Recorded]] = {}
        self._waits: dict[Waiting, WaitRow] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._payloads: dict[str, bytes] = {}
        self._manifests: dict[str, Manifest] = {}
        self._times: dict[str, tuple[float, float]] = {}
        self._lose: list[bool] = []
        self._incarnation = ""
        self._open: dict[int, Transaction] = {}
        self._begun = 0
        self._positions = 0
        self._feed: dict[tuple[int, int], tuple[str, Recorded]] = {}
        self.outbox: list[tuple[str, OutboxRow]] = []
        self.within: Transaction | None = None
        """The transaction that the next append is part of; without one it is its own."""

    def lose_next_commit(self, *, happened: bool) -> None:
        """Let the answer of the next append or start be lost; `happened` is what is true of it."""
        self._lose.append(happened)

    def begin(self) -> Transaction:
        """Begin a transaction, which holds the feed back until it has ended (rule A12)."""
        self._begun += 1
        self._open[self._begun] = transaction = Transaction(self._begun)
        return transaction

    def number(self, transaction: Transaction, events: int) -> None:
        """Give out the positions of so many events: not in the order of beginning, nor in that of committing."""
        transaction.position = self._positions + 1
        self._positions += events

    def end(self, transaction: Transaction) -> None:
        """It is committed or rolled back."""
        self._open.pop(transaction.number, None)

    async def feed(self, after: tuple[int, int], limit: int = 500) -> list[tuple[tuple[int, int], str, Recorded]]:
        """The next events behind a cursor (transaction, position), up to the oldest open transaction (rule A12)."""
        horizon = min(self._open, default=self._begun + 1)
        places = sorted(place for place in self._feed if after < place and place[0] < horizon)
        return [(place, *self._feed[place]) for place in places[:limit]]

    def rows(self) -> list[WaitRow]:
        """The waits of all sagas."""
        return list(self._waits.values())

    def rows_of(self, saga_id: str) -> list[WaitRow]:
        """The waits of one saga."""
        return [row for row in self._waits.values() if row.saga_id == saga_id]

    def head(self, saga_id: str) -> State:
        """The head of a saga that exists."""
        return self._heads[saga_id]

    def known(self) -> list[str]:
        """The ids of all sagas, oldest first."""
        return list(self._heads)

    async def now(self) -> float:
        """The database's clock."""
        return self._now()

    async def heads(self, saga_ids: Sequence[str]) -> dict[str, State]:
        """The heads of these sagas."""
        return {saga_id: self._heads[saga_id] for saga_id in saga_ids if saga_id in self._heads}

    async def by_key(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], State]:
        """The sagas that hold these keys."""
        return {key: self._heads[self._keys[key]] for key in keys if key in self._keys}

    async def seen(self, causes: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which causation ids have events already."""
        return {
            (saga_id, cause)
            for saga_id, cause in causes
            if any(entry.causation == cause for entry in self._events.get(saga_id, ()))
        }

    async def append(self, moves: Sequence[Move]) -> Committed:
        """Append to sagas whose version is the expected one."""
        return self._commit([m for m in moves if m.expected_version == self._version(m.saga_id) > 0])

    async def start(self, moves: Sequence[Move], connection: object | None = None) -> Committed:
        """Insert new sagas whose id and key are free. A `connection` makes no difference here."""
        free: list[Move] = []
        taken: set[tuple[str, str]] = set()
        for move in moves:
            key = (move.state.definition, move.state.key or "")
            if self._version(move.saga_id) or key in taken or (move.state.key is not None and key in self._keys):
                continue
            if move.state.key is not None and not frees_key(move.state):
                taken.add(key)
            free.append(move)
        return self._commit(free)

    async def put_payloads(self, payloads: Mapping[str, bytes]) -> None:
        """Keep large values under their hash."""
        self._payloads.update(payloads)

    async def values(self, wanted: Sequence[tuple[str, Value]]) -> list[Json]:
        """The values behind references."""
        return [self._value(saga_id, value) for saga_id, value in wanted]

    async def due(self, limit: int, *, commands: bool = True) -> list[WaitRow]:
        """Waits whose time has come, oldest first."""
        now = round(self._now(), 6)  # PostgreSQL knows microseconds
        rows = [row for row in self._waits.values() if commands or row.queue is None]
        found = [row for row in rows if round(row.due_at, 6) <= now and self._fires(row)]
        return sorted(found, key=lambda row: (row.due_at, row.saga_id, row.opened_by))[:limit]

    async def delivered(self, waits: Sequence[Waiting]) -> None:
        """Take messages away."""
        for key in waits:
            if key in self._waits and self._waits[key].kind == "notify":
                del self._waits[key]

    async def peek(self) -> Peek:
        """Whether there is anything to do."""
        now = self._now()
        counted = [row for row in self._waits.values() if not self._left_alone(row)]
        since = (row.since for row in counted if _unconfirmed(row))
        dates = (row.due_at for row in counted if row.due_at < inf and self._fires(row))
        return Peek(now, any(row.unsent for row in counted), min(since, default=None), min(dates, default=None))

    async def unpublished(self, age_seconds: float, limit: int) -> list[WaitRow]:
        """Commands that nobody confirmed for so long."""
        oldest = self._now() - age_seconds
        rows = [row for row in self._waits.values() if _unconfirmed(row) and row.since <= oldest]
        found = [row for row in rows if not self._left_alone(row)]
        return sorted(found, key=lambda row: (row.since, row.saga_id, row.opened_by))[:limit]

    async def take_unsent(
        self, limit: int, full: Sequence[tuple[str, Priority]] = (), unread: Sequence[str] = ()
    ) -> list[WaitRow]:
        """Take marks away."""
        rows = [(key, row) for key, row in self._waits.items() if self._heads[row.saga_id].fingerprint not in unread]
        unsent = [(row.since, key, row) for key, row in rows if row.unsent and not self._left_alone(row)]
        marked = sorted((since, key) for since, key, row in unsent if (row.queue, row.priority) not in full)[:limit]
        for _, key in marked:
            row, now = self._waits[key], self._now()
            self._waits[key] = replace(row, unsent=False, since=now, due_at=now + row.due_at - row.since)
        return [self._waits[key] for _, key in marked]

    async def mark_unsent(self, waits: Sequence[Waiting]) -> None:
        """Mark commands that were not sent."""
        for key in waits:
            if key in self._waits and self._waits[key].published_at is None:
                self._waits[key] = replace(self._waits[key], unsent=True)

    async def withdraw(self, commands: Sequence[Waiting]) -> list[WaitRow]:
        """The rows of commands, whose marks are taken away."""
        found = [self._waits[key] for key in sorted(commands) if key in self._waits]
        for row in found:
            if row.unsent:
                self._waits[row.saga_id, row.opened_by] = replace(row, unsent=False, since=self._now())
        return found

    async def give_back(self, taken: Sequence[WaitRow]) -> None:
        """Mark again what was taken and not sent."""
        known = [(row, self._waits.get((row.saga_id, row.opened_by))) for row in taken]
        await self.mark_unsent([(row.saga_id, row.opened_by) for row, now in known if now and now.since == row.since])

    async def confirm(self, sent: Sequence[Published]) -> None:
        """Write down which commands are in their stream."""
        for entry in sent:
            key = (entry.saga_id, entry.opened_by)
            if key in self._waits:
                now = self._now()
                due_in = entry.due_in if entry.incarnation in (None, self._incarnation) else 1.0
                self._waits[key] = replace(
                    self._waits[key], published_at=now, entry_id=entry.entry_id, unsent=False, due_at=now + due_in
                )

    async def postpone(self, waits: Sequence[tuple[str, int, float]]) -> None:
        """Move checks."""
        for saga_id, opened_by, seconds in waits:
            if (row := self._waits.get((saga_id, opened_by))) is not None:
                self._waits[saga_id, opened_by] = replace(row, due_at=self._now() + seconds)

    async def set_due(self, moved: Sequence[tuple[str, int, float | None]]) -> None:
        """Set when waits are due that a release has moved."""
        for saga_id, opened_by, due_at in moved:
            row = self._waits.get((saga_id, opened_by))
            if row is not None and (due_at is not None or row.published_at is not None):
                due_at = max(row.due_at, self._now()) if due_at is None else due_at
                self._waits[saga_id, opened_by] = replace(row, due_at=due_at)

    async def prove_writable(self) -> None:
        """It always can."""

    async def memory_lost(self, incarnation: str) -> int:
        """Write down whose memory the transport stands in, and have sent commands looked for."""
        if incarnation == self._incarnation:
            return 0
        self._incarnation = incarnation or self._incarnation
        found = [key for key, row in self._waits.items() if row.published_at is not None]
        now = self._now()
        for place, key in enumerate(sorted(found, key=lambda key: (self._waits[key].since, key)), 1):
            row = self._waits[key]
            self._waits[key] = replace(row, due_at=min(row.due_at, now + 1 + place / 500))
        return len(found)

    async def claims(self, waits: Sequence[Waiting]) -> dict[Waiting, Claim]:
        """What is known of these commands."""
        found = {key: self._waits[key] for key in waits if key in self._waits}
        return {key: Claim(row.attempt, self._heads[key[0]].held, row.claimed_by) for key, row in found.items()}

    async def history(self, saga_id: str, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """Events behind a sequence number."""
        return self._events.get(saga_id, [])[after : after + limit]

    async def events_at(self, places: Sequence[Waiting]) -> dict[Waiting, Recorded]:
        """Single events."""
        return {(saga_id, sequence): self._events[saga_id][sequence - 1] for saga_id, sequence in places}

    async def waits(self, saga_id: str) -> list[WaitRow]:
        """The open waits of one saga."""
        return [row for key, row in sorted(self._waits.items()) if key[0] == saga_id]

    async def sagas(self, wanted: SagaFilter) -> list[SagaRow]:
        """A page of sagas, newest first."""
        rows = [
            SagaRow(state, *self._times[saga_id], cursor=saga_id)
            for saga_id, state in sorted(self._heads.items(), reverse=True)
            if self._matches(state, wanted)
        ]
        return rows[: wanted.limit]

    async def put_manifest(self, manifest: Manifest) -> None:
        """Keep a manifest; the last one put is the newest of its name."""
        self._manifests.pop(manifest.fingerprint, None)
        self._manifests[manifest.fingerprint] = manifest

    async def manifests(self, fingerprints: Sequence[str] | None = None) -> dict[str, Manifest]:
        """Manifests by fingerprint, or the newest of each definition."""
        if fingerprints is not None:
            return {mark: self._manifests[mark] for mark in fingerprints if mark in self._manifests}
        newest = {manifest.name: manifest for manifest in self._manifests.values()}
        return {manifest.fingerprint: manifest for manifest in newest.values()}

    def _version(self, saga_id: str) -> int:
        head = self._heads.get(saga_id)
        return head.version if head is not None else 0

    def _commit(self, moves: Sequence[Move]) -> Committed:
        for move in moves:
            for entry in move.events:
                if (place := unstorable(encode(entry.event))) is not None:
                    raise Unstorable(f"event {entry.sequence} of {move.saga_id}: {place} cannot be stored")
        happened = self._lose.pop(0) if self._lose else None
        transaction = self.within or self.begin()
        if transaction.position is None:
            self.number(transaction, sum(len(move.events) for move in moves))
        position = transaction.position or 0
        if happened is not False:
            for move in moves:
                for entry in move.events:
                    self._feed[transaction.number, position] = (move.saga_id, entry)
                    position += 1
                self._apply(move)
        self.end(transaction)
        if happened is not None:
            raise CommitUnknown("the answer was lost on purpose")
        return Committed(frozenset(move.saga_id for move in moves), self._now())

    def _apply(self, move: Move) -> None:
        now = self._now()
        state = move.state
        self._heads[move.saga_id] = state
        self._events.setdefault(move.saga_id, []).extend(move.events)
        for opened_by in move.waits_gone:
            self._waits.pop((move.saga_id, opened_by), None)
        for row in move.waits_new:
            command = replace(row, since=now, due_at=now + row.due_at - row.since)
            self._waits[move.saga_id, row.opened_by] = row if row.queue is None else command
        self._times[move.saga_id] = (self._times.get(move.saga_id, (now, now))[0], now)
        self.outbox += [(move.saga_id, row) for row in move.outbox]
        key = (state.definition, state.key or "")
        if state.key is not None and move.expected_version == 0:
            self._keys[key] = move.saga_id
        if frees_key(state) and self._keys.get(key) == move.saga_id:
            del self._keys[key]

    def _value(self, saga_id: str, value: Value) -> Json:
        if value.payload is not None:
            return orjson.loads(self._payloads[value.payload])
        if value.event is None:
            return value.inline
        return value_in(self._events[saga_id][value.event - 1].event)

    def _left_alone(self, row: WaitRow) -> bool:
        head = self._heads[row.saga_id]
        return head.held or head.newer

    def _fires(self, row: WaitRow) -> bool:
        if row.unsent or row.kind == "operator" or self._left_alone(row):
            return False
        return row.kind != "notify" or not any(
            other.kind == "notify" and other.step == row.step and key < (row.saga_id, row.opened_by)
            for key, other in self._waits.items()
            if key[0] == row.saga_id
        )

    def _matches(self, state: State, wanted: SagaFilter) -> bool:
        waiting = {row.kind for key, row in self._waits.items() if key[0] == state.saga_id}
        asked = "operator" in waiting and state.status != "completed"
        return (
            wanted.definition in (None, state.definition)
            and wanted.status in (None, state.status)
            and wanted.key in (None, state.key)
            and (wanted.key_prefix is None or (state.key or "").startswith(wanted.key_prefix))
            and (wanted.held is None or (wanted.held == state.held and not state.closed and not state.terminal))
            and (wanted.waiting is None or wanted.waiting in waiting)
            and not (wanted.may_run and (state.terminal or state.closed) and not asked)
            and (wanted.after is None or state.saga_id < wanted.after)
        )


def _unconfirmed(row: WaitRow) -> bool:
    """Whether it is a command that may have been sent, and nobody wrote down that it was."""
    return row.queue is not None and row.published_at is None and not row.unsent

"""Redis Streams: the only module that knows Redis commands (design section 4, rules C4 to C6, L1, L2, L7).

Valkey and Redis from 6.2 on.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby
from typing import Any

from consumers.claims import PENDING_MAX, auto_claim
from consumers.envelopes import Foreign, dump, load_command, load_word
from consumers.keys import ORCHESTRATORS, OUTCOMES, WORKERS, command_key, queue_of
from consumers.memory import MARKER, MemoryLost, ServerMemory
from consumers.priorities import PRIORITIES, YIELDING, Turns
from consumers.reads import BLOCK_SECONDS_MAX, read_groups
from consumers.receiver import CommandDelivery, LeaseKeeper
from consumers.replies import Entry, by_key, length_of, name_of, pair
from consumers.scripts import DONE, MAKE_GROUP, NO_GROUP, PUT_BACK, WITHDRAW, was_unread
from consumers.set_aside import set_aside
from consumers.unread import has_group, make_group, revive, told_of, unread_of
from consumers.whereabouts import states_of
from consumers.wire import RedisServer, Server, Wire
from sagas.inputs import Word
from sagas.manifest import Priority
from sagas.points import buggify
from sagas.ports import (
    Arrivals,
    Command,
    OutcomeDelivery,
    StoreUnavailable,
    TransportRefused,
    TransportUnavailable,
    WaitRow,
)
from sagas.records import replace
from sagas.state import Waiting
from sagas.unread import Unread
from sagas.whereabouts import EntryState, Posted

log = logging.getLogger("amends.stream")

CLAIM_SECONDS = 1.0
REVIVE_SECONDS = 15.0
HIGH_WATER = 10_000
SHARE_MIN = 16
"""With room for so many of each stream, and no more than that waiting, one read takes of all of them."""


def _now() -> float:
    return asyncio.get_running_loop().time()


class RedisStreams:
    """One consumer's connection: both sides of the transport. `lease_seconds`: when others' outcomes are taken over."""

    def __init__(self, server: str | Server, consumer: str, *, lease_seconds: float = 4.0) -> None:
        self._server = RedisServer(server) if isinstance(server, str) else server
        self._consumer = consumer
        self._lease_seconds = lease_seconds
        self._wire = Wire(self._server, BLOCK_SECONDS_MAX, slow_seconds=lease_seconds / 3)
        self._memory = ServerMemory(self._wire, self._server.new_name)
        self._lengths: dict[str, int] = {}
        self._queues: tuple[str, ...] = ()
        self._turn = 0
        self._turns = Turns()
        self._nothing_came = False
        self._more = True
        self._pending_after: str | None = "0"
        self._claim_at = self._revive_at = 0.0

    def on_memory_lost(self, call: MemoryLost) -> None:
        """Have it called when the server is found to have another memory, with its incarnation (rule L7)."""
        self._memory.on_lost.append(call)

    @property
    def incarnation(self) -> str:
        """The incarnation of the server's memory as it was last known."""
        return self._memory.incarnation

    async def look(self) -> str:
        """The incarnation of the server's memory, read anew."""
        await self._memory.meet()
        return self._memory.incarnation

    async def publish(self, commands: Sequence[Command], before: float) -> list[str | None]:
        """Put commands into their streams, in one round trip; a refused one has no name (rule C9)."""
        memory = self._memory
        if not memory.incarnation:
            try:
                await memory.meet()
            except TransportRefused:
                return [None for _ in commands]
        await self._wire.open()
        if _now() > before:
            raise TransportUnavailable(f"{len(commands)} commands came too late to be sent")
        keys = [command_key(command.queue, command.priority) for command in commands]
        room = {key: self._lengths.get(key, 0) < HIGH_WATER and not buggify("streams.full") for key in keys}
        sent = {"incarnation": memory.incarnation, "sent_ms": int(memory.now() * 1000)}
        batch: list[tuple[Any, ...]] = [
            ("XADD", key, "*", "b", dump(command, sent))
            for key, command in zip(keys, commands, strict=True)
            if room[key]
        ]
        *names, marker = await self._wire.ask([*batch, *(("XLEN", key) for key in room), ("GET", MARKER)])
        self._lengths.update(zip(room, map(length_of, names[len(batch) :]), strict=True))
        memory.glance(marker)
        entries = iter(names)
        return [name_of(next(entries)) if room[key] else None for key in keys]

    async def full(self) -> list[tuple[str, Priority]]:
        """The queues and priorities whose streams stand above the high-water mark, looked at anew (rule C9)."""
        high = [key for key, length in self._lengths.items() if length >= HIGH_WATER]
        if high:
            lengths = await self._wire.many([("XLEN", key) for key in high])
            self._lengths.update(zip(high, lengths, strict=True))
        return [queue_of(key) for key in high if self._lengths[key] >= HIGH_WATER]

    async def outcomes(self, count: int, block_seconds: float) -> Arrivals:
        """Up to `count` outcomes: own pending ones first, then those that somebody left, then new ones."""
        found: list[Entry] = []
        again = woken = False
        if self._pending_after is not None:
            if not await has_group(self._wire):  # nobody has sent any, or nobody can read them now
                await asyncio.sleep(block_seconds)
                return Arrivals()
            found = await self._read_outcomes(count, start=self._pending_after)
            self._pending_after = found[-1][0].decode() if found else None
        if not found and _now() >= self._claim_at:
            self._claim_at = _now() + CLAIM_SECONDS
            idle_ms = int(self._lease_seconds * 1000)
            found = [entry for _, entry in await self._auto_claim([OUTCOMES], ORCHESTRATORS, idle_ms, count)]
            again = bool(found)
            if _now() >= self._revive_at:
                await self._revive()
        if not found:
            found = await self._read_outcomes(count, block_seconds)
        deliveries: list[OutcomeDelivery] = []
        done: list[str] = []
        for name, fields in found:
            entry, body = name.decode(), fields.get(b"b")
            word = load_word(body) if body is not None else None
            if isinstance(word, Word):
                deliveries.append(OutcomeDelivery(entry, word, again))
                continue
            woken = woken or body is None
            if word is None or await set_aside(self._wire, OUTCOMES, entry, body or b"", word.why):
                done.append(entry)
        if done:
            await self.acknowledge(done)
        return Arrivals(tuple(deliveries), woken)

    async def _revive(self) -> None:
        self._revive_at = _now() + REVIVE_SECONDS
        try:
            if found := await revive(self._wire):
                log.warning("%d outcomes that nobody held are handed out again", found)
        except TransportRefused as refused:
            log.info("cannot look for outcomes that nobody holds: %s", refused)

    def recall(self) -> None:
        """Read own pending outcomes again."""
        self._pending_after = "0"

    async def acknowledge(self, entries: Sequence[str]) -> None:
        """Acknowledge and delete outcomes."""
        await self._wire.many([("EVAL", DONE, 1, OUTCOMES, ORCHESTRATORS, *entries)])

    async def put_back(self, deliveries: Sequence[OutcomeDelivery]) -> None:
        """Put outcomes to the end; one that somebody else has taken or acknowledged meanwhile stays as it is."""
        batch = [
            ("EVAL", PUT_BACK, 1, OUTCOMES, ORCHESTRATORS, delivery.entry, dump(delivery.word))
            for delivery in deliveries
        ]
        if batch:
            await self._wire.many(batch)

    async def unread(self) -> Unread | None:
        """Where outcomes stand."""
        return await unread_of(self._wire)

    async def told_of(self, waits: Collection[Waiting]) -> set[Waiting]:
        """Of which of these commands an outcome stands in the stream."""
        return await told_of(self._wire, waits)

    async def inspect(self, waits: Sequence[Posted]) -> list[EntryState]:
        """Where the entries of commands are."""
        return await states_of(self._wire, waits, idle_ms_max=int(2000 * self._lease_seconds))

    async def withdraw(self, waits: Sequence[WaitRow]) -> list[bool]:
        """Take entries back that nobody has read, each in one step with the look at it."""
        await self._memory.meet()
        incarnation = self._memory.incarnation
        keys = [command_key(row.queue or "", row.priority or "normal") for row in waits]
        batch = [("EVAL", WITHDRAW, 1, key, WORKERS, row.entry_id) for key, row in zip(keys, waits, strict=True)]
        answers = await self._wire.many(batch)
        if bare := [key for key, answer in zip(keys, answers, strict=True) if answer == NO_GROUP]:
            await self._make_command_groups(list(dict.fromkeys(bare)))  # no worker has come: the next look can tell
        stands = incarnation == self._memory.incarnation  # else a connection was made meanwhile, maybe to another
        return [stands and was_unread(answer, incarnation) for answer in answers]

    async def wake(self) -> None:
        """Let a blocking read of outcomes return."""
        await self._wire.many([("XADD", OUTCOMES, "*", "w", "")])

    async def open(self, queues: Sequence[str]) -> None:
        """Take part in these queues' groups."""
        self._queues = tuple(queues)
        await self._memory.meet()
        await self._make_command_groups(self._keys(PRIORITIES))

    async def read(self, count: int, block_seconds: float) -> list[CommandDelivery]:
        """Up to `count` new commands, and when there are none what comes first, of whatever priority."""
        if not self._memory.incarnation:
            await self._memory.meet()
        share = count // max(1, len(PRIORITIES) * len(self._queues))
        roomy = share >= (1 if buggify("streams.room_for_all") else SHARE_MIN)
        if (self._more or not roomy) and not (self._nothing_came and block_seconds > 0):
            found, empty = await self._in_turn(count)
            self._more = len(found) >= count
            self._turns.took(_priorities(found), empty)
            if found or block_seconds <= 0:
                return found
        return await self._next(share if roomy else 1, block_seconds)

    async def _in_turn(self, count: int) -> tuple[list[CommandDelivery], set[Priority]]:
        """A read for each priority, the more urgent ones first (rule C4); and those in which nothing waits."""
        found: list[CommandDelivery] = []
        empty: set[Priority] = set()

        async def take(priority: Priority, most: int) -> None:
            keys = self._some_keys(priority, most)
            if keys and priority not in empty:
                taken = await self._commands(keys, max(1, most // len(keys)))
                found.extend(taken)
                if not taken and len(keys) == len(self._queues):
                    empty.add(priority)

        for priority in YIELDING:
            await take(priority, self._turns.owed(priority, count - len(found)))
        for priority in PRIORITIES:
            await take(priority, count - len(found))
        return found, empty

    async def _next(self, share: int, block_seconds: float) -> list[CommandDelivery]:
        """What comes first, up to so many of each stream; while nothing comes, nothing else needs to be asked."""
        self._nothing_came = False  # an error says nothing
        found = await self._commands(self._keys(PRIORITIES), share, block_seconds)
        self._more, self._nothing_came = len(found) >= share, not found
        self._turns.took(_priorities(found), set(PRIORITIES).difference(_priorities(found)))
        return found

    async def own_pending(self) -> list[CommandDelivery]:
        """What this consumer holds. Who was handed out more than once may have been another's."""
        found: list[CommandDelivery] = []
        for key, held in (await self._held()).items():
            bodies = await self._wire.many([("XRANGE", key, name, name) for name, *_ in held])
            for (name, _, _, times), entries in zip(held, bodies, strict=True):
                entry = pair(entries[0] if entries else (name, None))
                found += [
                    replace(delivery, claimed=times > 1)
                    for delivery in await self._deliveries(key, [entry], first_sent=False)
                ]
        return found

    async def _held(self) -> dict[str, list[Any]]:
        """What this consumer was handed out and has not settled, by stream; foreign entries too."""
        keys = self._keys(PRIORITIES)
        asked = [("XPENDING", key, WORKERS, "-", "+", PENDING_MAX, self._consumer) for key in keys]
        answers = await self._wire.many(asked, forgiven="NOGROUP")
        return {key: answer for key, answer in zip(keys, answers, strict=True) if answer}

    async def idle(self, idle_seconds: float, count: int) -> list[CommandDelivery]:
        """Take over what nobody renews; after a gap that this process saw nothing, for one lease (rule L4)."""
        if self._wire.seconds_since_gap() < self._lease_seconds:
            return []
        claimed = await self._auto_claim(self._keys(PRIORITIES), WORKERS, int(idle_seconds * 1000), count)
        if self._wire.seconds_since_gap() < self._lease_seconds:
            return []  # the server may have stood still: whoever lives renews before it is looked for again
        found: list[CommandDelivery] = []
        for key, entries in groupby(claimed, key=lambda one: one[0]):
            found += await self._deliveries(key, [entry for _, entry in entries], first_sent=False)
        return [replace(delivery, claimed=True) for delivery in found]

    async def send(self, words: Sequence[Word]) -> None:
        """Put outcomes into their stream, in one round trip."""
        await self._wire.many([("XADD", OUTCOMES, "*", "b", dump(word)) for word in words])

    async def settle(self, entries: Sequence[str]) -> list[bool]:
        """Acknowledge and delete commands."""
        named = by_key(entries)
        told = await self._wire.many([("EVAL", DONE, 1, key, WORKERS, *names) for key, names in named.items()])
        held = {
            f"{key} {name}": bool(one)
            for (key, names), answer in zip(named.items(), told, strict=True)
            for name, one in zip(names, answer, strict=True)
        }
        return [held[entry] for entry in entries]

    def keeper(self, lost: Callable[[str], None]) -> LeaseKeeper:
        """Begin to keep leases with a connection of its own."""
        return self._server.keeper(
            lambda key, names: ("XCLAIM", key, WORKERS, self._consumer, 0, *names, "JUSTID"), lost
        )

    async def close(self) -> None:
        """Leave the groups, unless something is still held; end all connections."""
        try:
            await self.own_pending()  # what is gone, or nobody can run, is none of ours
            if self._queues and not await self._held():
                keys = self._keys(PRIORITIES)
                await self._wire.many(
                    [("XGROUP", "DELCONSUMER", key, WORKERS, self._consumer) for key in keys], "NOGROUP"
                )
        except (TransportUnavailable, TransportRefused, StoreUnavailable) as loss:  # the store: of a new memory (L7)
            log.info("left without a word: %s", loss)
        await self._wire.close()

    async def _commands(self, keys: Sequence[str], count: int, block: float | None = None) -> list[CommandDelivery]:
        found: list[CommandDelivery] = []
        for key, entries in await self._read_groups(WORKERS, keys, count, block, ">"):
            found += await self._deliveries(key.decode(), entries, first_sent=True)
        return found

    async def _deliveries(self, key: str, entries: Iterable[Entry], *, first_sent: bool) -> list[CommandDelivery]:
        found: list[CommandDelivery] = []
        met = False
        for name, fields in entries:
            entry, body = name.decode(), fields.get(b"b")
            if body is None:
                (held,) = await self._wire.many([("XACK", key, WORKERS, entry)])
                if held:  # trimmed under our eyes, not settled meanwhile: other entries may be missing too
                    await self._memory.lost()
                continue
            command = load_command(body)
            if isinstance(command, Foreign):
                if await set_aside(self._wire, key, entry, body, command.why):
                    await self._wire.many([("EVAL", DONE, 1, key, WORKERS, entry)])
                continue
            if command.incarnation != self._memory.incarnation and not (met and self._memory.incarnation):
                await self._memory.meet()  # others may have met a new memory before us
                met = True
            sent_ms = min(int(entry.partition("-")[0]), command.sent_ms or sys.maxsize)
            sent_at = _now() - max(self._memory.now() - sent_ms / 1000, 0.0)
            current = command.incarnation == self._memory.incarnation
            found.append(CommandDelivery(f"{key} {entry}", command, first_sent, sent_at, current))
        return found

    async def _make_command_groups(self, keys: Sequence[str]) -> None:
        await self._wire.many([("EVAL", MAKE_GROUP, 2, key, f"{key}:grouped", WORKERS) for key in keys])

    async def _forgotten(self) -> None:
        """The groups are gone: make them anew, and have every sent command looked for (rule L7)."""
        log.warning("the server has lost its memory: groups are made anew")
        await self._make_command_groups(self._keys(PRIORITIES))
        await make_group(self._wire)
        before = self._memory.incarnation
        await self._memory.meet()
        if before in ("", self._memory.incarnation):  # the groups alone are gone, or nobody knows since when
            await self._memory.lost()

    async def _read_outcomes(self, count: int, block: float | None = None, start: str = ">") -> list[Entry]:
        answer = await self._read_groups(ORCHESTRATORS, [OUTCOMES], count, block, start)
        return [entry for _, entries in answer for entry in entries]

    async def _read_groups(
        self, group: str, keys: Sequence[str], count: int, block: float | None, start: str
    ) -> list[tuple[bytes, list[Entry]]]:
        try:
            found, gone = await read_groups(self._wire, group, self._consumer, keys, count, block or 0.0, start)
        except TransportUnavailable:
            self._pending_after = "0"
            self._memory.doubt()
            raise
        if gone:
            await self._forgotten()
        return found

    async def _auto_claim(self, keys: Sequence[str], group: str, idle_ms: int, count: int) -> list[tuple[str, Entry]]:
        return await auto_claim(self._wire, self._memory, keys, group, self._consumer, idle_ms, count)

    def _keys(self, priorities: Sequence[Priority]) -> list[str]:
        return [command_key(queue, priority) for priority in priorities for queue in self._queues]

    def _some_keys(self, priority: Priority, free: int) -> list[str]:
        """As many keys as there is room for, since COUNT counts for each stream (rule C4); another part each time."""
        keys = self._keys([priority])
        if free >= len(keys):
            return keys
        self._turn += 1
        return [keys[(self._turn + place) % len(keys)] for place in range(max(free, 0))]


def _priorities(found: Sequence[CommandDelivery]) -> list[Priority]:
    return [delivery.command.priority for delivery in found]

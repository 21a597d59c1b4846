"""The transport without a server: streams, groups and leases in memory, on the event loop's clock alone."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from consumers.priorities import PRIORITIES, YIELDING, Turns
from consumers.receiver import CommandDelivery
from sagas.inputs import Outcome, Word
from sagas.manifest import Priority
from sagas.ports import Arrivals, Command, OutcomeDelivery, WaitRow
from sagas.state import Waiting
from sagas.unread import Unread
from sagas.whereabouts import GONE, EntryState, Posted

IDLE_SECONDS_MAX = 8.0
LEASE_SECONDS = 4.0


@dataclass(slots=True)
class _Entry:
    name: str
    command: Command
    sent_at: float
    consumer: str | None = None
    claimed: bool = False
    renewed_at: float = 0.0
    delivered: int = 0


@dataclass
class Broker:
    """What a Redis server would hold: commands by queue and priority, and outcomes."""

    entries: dict[str, _Entry] = field(default_factory=dict[str, _Entry])
    queued: dict[tuple[str, Priority], list[str]] = field(default_factory=dict[tuple[str, Priority], list[str]])
    words: list[OutcomeDelivery] = field(default_factory=list[OutcomeDelivery])
    pending_words: dict[str, tuple[str, float, OutcomeDelivery]] = field(
        default_factory=dict[str, tuple[str, float, OutcomeDelivery]]
    )
    came: dict[str, float] = field(default_factory=dict[str, float])
    count: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    woken: bool = False
    incarnation: str = "1"
    on_lost: list[Callable[[str], Awaitable[object]]] = field(default_factory=list[Callable[[str], Awaitable[object]]])

    def name(self) -> str:
        """The next entry's name."""
        self.count += 1
        return str(self.count)

    def hand_out(self, consumer: str, entry: OutcomeDelivery) -> None:
        """Write down who has an outcome."""
        self.pending_words[entry.entry] = (consumer, _now(), entry)

    def held_by(self, consumer: str) -> list[OutcomeDelivery]:
        """The outcomes that a consumer has."""
        return [entry for holder, _, entry in self.pending_words.values() if holder == consumer]

    def left(self, before: float) -> list[OutcomeDelivery]:
        """The outcomes that were handed out before that and not acknowledged."""
        return [entry for _, at, entry in self.pending_words.values() if at <= before]

    def signal(self) -> None:
        """Something is new: whoever blocks looks again."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def flush(self) -> None:
        """Forget everything, as a server that lost its memory."""
        self.entries.clear()
        self.queued.clear()
        self.words.clear()
        self.pending_words.clear()
        self.came.clear()
        self.incarnation = str(int(self.incarnation) + 1)
        self.signal()
        for call in self.on_lost:
            await call(self.incarnation)


class InProcessTransport:
    """One consumer's view of a broker: both sides of the transport."""

    def __init__(self, broker: Broker, consumer: str) -> None:
        self._broker = broker
        self._consumer = consumer
        self._queues: tuple[str, ...] = ()
        self._turns = Turns()
        self._pending_first = True

    async def publish(self, commands: Sequence[Command], before: float) -> list[str | None]:
        """Put commands into their queues."""
        names: list[str | None] = []
        for command in commands:
            name = self._broker.name()
            self._broker.entries[name] = _Entry(name, command, _now())
            self._broker.queued.setdefault((command.queue, command.priority), []).append(name)
            names.append(name)
        self._broker.signal()
        return names

    async def outcomes(self, count: int, block_seconds: float) -> Arrivals:
        """Up to `count` outcomes: own pending ones first, then those that somebody left, then new ones."""
        recalled, self._pending_first = self._pending_first, False
        if recalled and (mine := self._broker.held_by(self._consumer)):
            return Arrivals(tuple(mine))
        if left := self._broker.left(_now() - LEASE_SECONDS)[:count]:
            for entry in left:
                self._broker.hand_out(self._consumer, entry)
            return Arrivals(tuple(replace(entry, again=True) for entry in left))
        await self._wait(lambda: bool(self._broker.words) or self._broker.woken, block_seconds)
        woken, self._broker.woken = self._broker.woken, False
        taken, self._broker.words[:] = self._broker.words[:count], self._broker.words[count:]
        for entry in taken:
            self._broker.hand_out(self._consumer, entry)
        return Arrivals(tuple(taken), woken)

    def recall(self) -> None:
        """Own pending ones come first."""
        self._pending_first = True

    async def acknowledge(self, entries: Sequence[str]) -> None:
        """Forget outcomes."""
        for entry in entries:
            self._broker.pending_words.pop(entry, None)
            self._broker.came.pop(entry, None)

    async def unread(self) -> Unread | None:
        """The outcomes that nobody has acknowledged."""
        pending = [entry for _, _, entry in self._broker.pending_words.values()]
        names = sorted(int(entry.entry) for entry in (*pending, *self._broker.words))
        if not names:
            return None
        age = _now() - self._broker.came[str(names[0])]
        return Unread((names[0], 0), (names[-1], 0), age, len(names))

    async def told_of(self, waits: Collection[Waiting]) -> set[Waiting]:
        """Of which of these commands an outcome stands there."""
        pending = [entry for _, _, entry in self._broker.pending_words.values()]
        words = [entry.word for entry in (*pending, *self._broker.words)]
        return {(word.saga_id, word.opened_by) for word in words if isinstance(word, Outcome)}.intersection(waits)

    async def put_back(self, deliveries: Sequence[OutcomeDelivery]) -> None:
        """Put outcomes to the end."""
        held = [delivery for delivery in deliveries if delivery.entry in self._broker.pending_words]
        await self.acknowledge([delivery.entry for delivery in held])
        await self.send([delivery.word for delivery in held])

    async def inspect(self, waits: Sequence[Posted]) -> list[EntryState]:
        """Where entries are."""
        return [self._state(self._broker.entries.get(row.entry_id or "")) for row in waits]

    async def withdraw(self, waits: Sequence[WaitRow]) -> list[bool]:
        """Take entries back that nobody has read."""
        answers: list[bool] = []
        for row in waits:
            entry = self._broker.entries.get(row.entry_id or "")
            unread = entry is not None and entry.delivered == 0
            if entry is not None and unread:
                del self._broker.entries[entry.name]
                self._broker.queued[entry.command.queue, entry.command.priority].remove(entry.name)
            answers.append(unread)
        return answers

    async def wake(self) -> None:
        """Let a blocking read of outcomes return."""
        self._broker.woken = True
        self._broker.signal()

    def on_memory_lost(self, call: Callable[[str], Awaitable[object]]) -> None:
        """Have it called after a flush."""
        self._broker.on_lost.append(call)

    @property
    def incarnation(self) -> str:
        """The incarnation of the broker's memory."""
        return self._broker.incarnation

    async def look(self) -> str:
        """The incarnation of the broker's memory."""
        return self._broker.incarnation

    async def full(self) -> list[tuple[str, Priority]]:
        """There is always room."""
        return []

    async def open(self, queues: Sequence[str]) -> None:
        """Take part in these queues."""
        self._queues = tuple(queues)

    async def read(self, count: int, block_seconds: float) -> list[CommandDelivery]:
        """Up to `count` new commands, high priority first, but for those whose turn has come."""
        keys: list[tuple[str, Priority]] = [(queue, priority) for priority in PRIORITIES for queue in self._queues]
        await self._wait(lambda: any(self._broker.queued.get(key) for key in keys), block_seconds)
        found: list[CommandDelivery] = []
        for priority in YIELDING:
            found += self._take(priority, self._turns.owed(priority, count - len(found)))
        for priority in PRIORITIES:
            found += self._take(priority, count - len(found))
        waiting = {priority for (_, priority), names in self._broker.queued.items() if names}
        self._turns.took([delivery.command.priority for delivery in found], set(PRIORITIES) - waiting)
        return found

    def _take(self, priority: Priority, most: int) -> list[CommandDelivery]:
        found: list[CommandDelivery] = []
        for queue in self._queues:
            names: list[str] = self._broker.queued.get((queue, priority), [])
            while names and len(found) < most:
                found.append(self._hand_out(self._broker.entries[names.pop(0)]))
        return found

    async def own_pending(self) -> list[CommandDelivery]:
        """What this consumer holds."""
        return [self._hand_out(entry) for entry in self._broker.entries.values() if entry.consumer == self._consumer]

    async def idle(self, idle_seconds: float, count: int) -> list[CommandDelivery]:
        """Take over what nobody renews."""
        oldest = _now() - idle_seconds
        found = [entry for entry in self._broker.entries.values() if entry.consumer and entry.renewed_at <= oldest]
        for entry in found[:count]:
            entry.claimed = True
        return [self._hand_out(entry) for entry in found[:count]]

    async def send(self, words: Sequence[Word]) -> None:
        """Put outcomes into their stream."""
        for word in words:
            entry = OutcomeDelivery(self._broker.name(), word)
            self._broker.words.append(entry)
            self._broker.came[entry.entry] = _now()
        self._broker.signal()

    async def settle(self, entries: Sequence[str]) -> list[bool]:
        """Acknowledge and delete commands."""
        return [self._broker.entries.pop(entry, None) is not None for entry in entries]

    def keeper(self, lost: Callable[[str], None]) -> "InProcessKeeper":
        """Keep leases: a consumer that lives renews what it holds."""
        return InProcessKeeper(self._broker)

    async def close(self) -> None:
        """Leave; what is held stays pending."""

    def _hand_out(self, entry: _Entry) -> CommandDelivery:
        entry.consumer, entry.renewed_at = self._consumer, _now()
        entry.delivered += 1
        return CommandDelivery(entry.name, entry.command, entry.delivered == 1, entry.sent_at, claimed=entry.claimed)

    def _state(self, entry: _Entry | None) -> EntryState:
        if entry is None:
            return GONE
        if entry.consumer is not None and _now() - entry.renewed_at > IDLE_SECONDS_MAX:
            return GONE
        return EntryState("queued" if entry.consumer is None else "pending", entry.command.timeout)

    async def _wait(self, ready: Callable[[], bool], seconds: float) -> None:
        until = _now() + seconds
        while not ready() and _now() < until:
            try:
                async with asyncio.timeout_at(until):
                    await self._broker.changed.wait()
            except TimeoutError:
                return


class InProcessKeeper:
    """Renews by a timer of the event loop."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._held: dict[str, asyncio.TimerHandle] = {}

    def hold(self, entry: str) -> None:
        """Renew this entry from now on."""
        self.release(entry)
        if (found := self._broker.entries.get(entry)) is not None:
            found.renewed_at = _now()
        self._held[entry] = asyncio.get_running_loop().call_later(1.0, self.hold, entry)

    def release(self, entry: str) -> None:
        """Stop renewing it."""
        if (handle := self._held.pop(entry, None)) is not None:
            handle.cancel()

    async def renew(self) -> None:
        """A consumer that lives has renewed already."""

    def close(self) -> None:
        """Stop renewing anything."""
        for entry in list(self._held):
            self.release(entry)


def _now() -> float:
    return asyncio.get_running_loop().time()

"""The three ports through which all I/O goes: store, transport and clock.

`eventstore` and `consumers` hold the adapters. Each method of the store says what survives a crash once it returned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Protocol

from sagas.events import Json, Recorded
from sagas.inputs import Word
from sagas.listing import SagaFilter, SagaRow
from sagas.manifest import Manifest, Priority, Role
from sagas.peek import Peek
from sagas.records import record
from sagas.state import State, Value
from sagas.statuses import WaitKind
from sagas.whereabouts import Whereabouts


class StoreUnavailable(Exception):
    """The database cannot be reached or refuses work for now; nothing of the call was done."""


class CommitUnknown(Exception):
    """The connection broke while a commit was on its way: it may have happened or not (rule A7)."""


class Contended(Exception):
    """The batch met a deadlock or a serialisation failure; nothing of it was done, and it may be tried at once (A6)."""


class Unstorable(Exception):
    """Something in the batch can never be stored; nothing of it was (rule A9)."""


class HeadBehind(Exception):
    """A saga of the batch has events that its head does not tell of: only who wrote them may go on with it."""


class TransportUnavailable(Exception):
    """The transport gave no answer. What was to be sent may have arrived."""


class TransportRefused(Exception):
    """The transport refused a write, which proves that nothing arrived (rule C9)."""


@record
class WaitRow:
    """A row of `waits`. `due_at` and `since` are instants; `published_at`, `entry_id`, `unsent` tell of its command."""

    saga_id: str
    opened_by: int
    kind: WaitKind
    step: str | None
    item: int | None
    attempt: int
    queue: str | None
    priority: Priority | None
    due_at: float
    since: float
    published_at: float | None = None
    entry_id: str | None = None
    unsent: bool = False
    claimed_by: str | None = None
    claimed_until: float | None = None


@record
class OutboxRow:
    """A message owed to the outside, written by the commit that made it true."""

    event_type: str
    data: Mapping[str, Json]


@record
class Move:
    """What one append does to one saga: from `expected_version` (0 for a start) to `state.version`."""

    saga_id: str
    expected_version: int
    state: State
    events: tuple[Recorded, ...]
    waits_gone: tuple[int, ...] = ()
    waits_new: tuple[WaitRow, ...] = ()
    outbox: tuple[OutboxRow, ...] = ()


@record
class Committed:
    """The sagas that moved, and the database's clock. A saga that lost the race is not among them."""

    moved: frozenset[str]
    now: float


@record
class Published:
    """A command that is in its stream; `due_in` is when it is to be checked, in seconds from the confirm.

    `incarnation` is the memory that it was sent into, as far as the sender knew: in another it is looked for at once.
    """

    saga_id: str
    opened_by: int
    entry_id: str
    due_in: float
    incarnation: str | None = None


@record
class Claim:
    """What the table `waits` says of a command that a worker is about to run (rule C3)."""

    attempt: int
    held: bool
    claimed_by: str | None


class Store(Protocol):
    """The only truth. All methods raise `StoreUnavailable` when the database cannot be reached."""

    async def now(self) -> float:
        """The database's clock."""
        ...

    async def heads(self, saga_ids: Sequence[str]) -> dict[str, State]:
        """The heads of these sagas, in one query; unknown ones are absent."""
        ...

    async def by_key(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], State]:
        """The sagas that hold these (definition, key) pairs; freed keys are absent (def_R23)."""
        ...

    async def seen(self, causes: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which (saga id, causation id) pairs have events already."""
        ...

    async def append(self, moves: Sequence[Move]) -> Committed:
        """Append to sagas that exist, all in one statement and one commit (rules A3, A5, A6).

        Durable: once it has returned, everything of every saga in `moved`. On `CommitUnknown`: all or nothing, and
        nobody knows which. On `Contended`, `Unstorable` and `HeadBehind`: nothing.
        """
        ...

    async def start(self, moves: Sequence[Move], connection: object | None = None) -> Committed:
        """Insert new sagas (rule A4); one whose id or key is taken is not in `moved`.

        In both, a command's `since` is the store's own now, and its check moves with it: the age limits of rule C1
        count from the commit.
        With `connection` (asyncpg) the insert joins the caller's transaction and its commands are marked `unsent`.
        Durable: as `append`, or with the caller's commit.
        """
        ...

    async def put_payloads(self, payloads: Mapping[str, bytes]) -> None:
        """Keep large values under their SHA-256. Durable: when it has returned; an orphan is harmless."""
        ...

    async def values(self, wanted: Sequence[tuple[str, Value]]) -> list[Json]:
        """The values behind (saga id, reference) pairs, in their order; at most two queries."""
        ...

    async def due(self, limit: int, *, commands: bool = True) -> list[WaitRow]:
        """Waits whose `due_at` has passed, oldest first, without locks: neither marked nor for an operator.

        Without `commands`, of those that no worker is to end.
        """
        ...

    async def delivered(self, waits: Sequence[tuple[str, int]]) -> None:
        """Take messages away that their receivers have. Durable: when it has returned."""
        ...

    async def peek(self) -> Peek:
        """Whether there is anything to do, in one statement."""
        ...

    async def unpublished(self, age_seconds: float, limit: int) -> list[WaitRow]:
        """Commands older than `age_seconds` that nobody confirmed, not marked, of sagas that are not held (rule C1)."""
        ...

    async def take_unsent(
        self, limit: int, full: Sequence[tuple[str, Priority]] = (), unread: Sequence[str] = ()
    ) -> list[WaitRow]:
        """Take the mark of up to `limit` waits away; who took it sends it (rule C9).

        Of none in `full` queues, nor of sagas that go by `unread` fingerprints. Their `since` becomes now, and their
        check moves with it.
        """
        ...

    async def mark_unsent(self, waits: Sequence[tuple[str, int]]) -> None:
        """Mark commands that are known not to have been sent (rule C9)."""
        ...

    async def withdraw(self, commands: Sequence[tuple[str, int]]) -> list[WaitRow]:
        """The rows of commands that nobody is to begin any more; the mark of an `unsent` one is taken away (rule L5).

        Who took it may judge the command: nobody else sends it.
        """
        ...

    async def give_back(self, taken: Sequence[WaitRow]) -> None:
        """Mark again what `take_unsent` gave and was not sent; only what nobody else has taken since (rule C9)."""
        ...

    async def confirm(self, sent: Sequence[Published]) -> None:
        """Write down, in one sorted update, which commands are in their stream (rule C1)."""
        ...

    async def postpone(self, waits: Sequence[tuple[str, int, float]]) -> None:
        """Move the check of sent commands by so many seconds from now (rule L5)."""
        ...

    async def set_due(self, moved: Sequence[tuple[str, int, float | None]]) -> None:
        """Set when waits are due that a release has moved (rule B7); sent commands (`None`) at the latest from now."""
        ...

    async def prove_writable(self) -> None:
        """Write something small that changes nothing. Durable: when it has returned.

        A full disk and a standby, which are read as ever, raise `StoreUnavailable`.
        """
        ...

    async def memory_lost(self, incarnation: str) -> int:
        """Write down whose memory the transport stands in; how many sent commands are looked for now (rule L7).

        They are, if it is another than was written, and if `incarnation` is empty: something is missing in the same
        memory. Each becomes due for its check after a second, in which workers say what they have done; oldest first,
        500 a second. It is one commit: whoever ends behind it has left nothing to do.
        """
        ...

    async def claims(self, waits: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Claim]:
        """What is known of these commands' waits; one that is over is absent (rule C3)."""
        ...

    async def history(self, saga_id: str, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """The events of one saga behind the sequence number `after`, in order."""
        ...

    async def events_at(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Recorded]:
        """Single events, each by its saga and sequence number."""
        ...

    async def waits(self, saga_id: str) -> list[WaitRow]:
        """The open waits of one saga, in the order in which they were opened."""
        ...

    async def sagas(self, wanted: SagaFilter) -> list[SagaRow]:
        """A page of sagas, newest first."""
        ...

    async def put_manifest(self, manifest: Manifest) -> None:
        """Keep a manifest under its fingerprint. Durable: when it has returned; doing it again changes nothing."""
        ...

    async def manifests(self, fingerprints: Sequence[str] | None = None) -> dict[str, Manifest]:
        """The manifests with these fingerprints; without, the newest of each definition."""
        ...


@record
class Command:
    """One execution that a worker is to run (rule C2). Durations only, never instants.

    `arguments` holds the handler's arguments by parameter name, those of source input, node, item and result;
    `payloads` the hashes of those that are too large to be sent. `given` tells for a parameter in `Given` form whether
    its value is a fallback's, and why. `evidence` (undo, probe of a fallback) is the event that says of an effect.
    `sent_ms` is the transport's clock at the sender: a write may lie in a socket for long before it is done (rule C3).
    """

    saga_id: str
    opened_by: int
    definition: str
    fingerprint: str
    step: str
    item: int | None
    role: Role
    attempt: int
    queue: str
    priority: Priority
    timeout: float
    arguments: Mapping[str, Json] = field(default_factory=dict[str, Json])
    payloads: Mapping[str, str] = field(default_factory=dict[str, str])
    given: Mapping[str, Json] = field(default_factory=dict[str, Json])
    turning_back: bool = False
    cause: str | None = None
    evidence: int = 0
    epoch: int = 0
    incarnation: str = ""
    sent_ms: int = 0
    trace: str | None = None

    @property
    def step_key(self) -> str:
        """The step's own key (def_R13)."""
        return f"{self.saga_id}/{self.step}" if self.item is None else f"{self.saga_id}/{self.step}/{self.item}"

    @property
    def idempotency_key(self) -> str:
        """The key of this call: the undo has its own (def_R13)."""
        return f"{self.step_key}/undo" if self.role == "undo" else self.step_key


@record
class OutcomeDelivery:
    """An outcome, or word of a start or of progress, as it came from the stream; `entry` is what acknowledges it.

    `again`: it was left for one lease.
    """

    entry: str
    word: Word
    again: bool = False


@record
class Arrivals:
    """Outcomes that have come. `woken`: `wake` was called (rule A4)."""

    deliveries: tuple[OutcomeDelivery, ...] = ()
    woken: bool = False


class CommandSender(Whereabouts, Protocol):
    """The orchestrator's side of the transport."""

    async def publish(self, commands: Sequence[Command], before: float) -> list[str | None]:
        """Put commands into their streams in one round trip; their entry ids, `None` for one that was refused.

        Nothing is written after the instant `before` of the monotonic clock (rule C1).

        Raises:
            TransportUnavailable: nobody knows what arrived.
        """
        ...

    async def outcomes(self, count: int, block_seconds: float) -> Arrivals:
        """Up to `count` outcomes, own pending ones first after a start or `recall`; waits at most `block_seconds`."""
        ...

    def recall(self) -> None:
        """What was handed out and not acknowledged comes again: it could not be applied."""
        ...

    async def acknowledge(self, entries: Sequence[str]) -> None:
        """Forget outcomes whose events are committed (rule C5)."""
        ...

    async def put_back(self, deliveries: Sequence[OutcomeDelivery]) -> None:
        """Put outcomes to the end that only a newer program can apply, so that none is the oldest for ever."""
        ...

    async def withdraw(self, waits: Sequence[WaitRow]) -> list[bool]:
        """Take the entries of published waits back; which nobody has read, and nobody ever will (rule L5)."""
        ...

    @property
    def incarnation(self) -> str:
        """The incarnation of the transport's memory as it was last known; empty while it is in doubt."""
        ...

    async def look(self) -> str:
        """The incarnation of the transport's memory, read anew (rule L7)."""
        ...

    async def full(self) -> list[tuple[str, Priority]]:
        """The queues and priorities that have no room for more commands (rule C9)."""
        ...

    async def wake(self) -> None:
        """Wake an orchestrator that waits for outcomes: something was marked `unsent` or became due."""
        ...


class Clock(Protocol):
    """Time that passes in this process."""

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

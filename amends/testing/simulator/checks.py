"""What must hold: after each commit, at each execution, and once everything works again and has come to rest.

The numbers are those of the protocol's model: 1 liveness, 2 dependencies, 3 no effect left behind, 4 every effect is
there, 5 undo order, 6 the pivot, 7 closed keys, 8 head = fold, 9 one execution an attempt, 11 nothing accepted lost,
16 hold, 17 refused attempts, 18 families, 19 one thing to decide once, 20 what lives is not given up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from amends.testing.simulator.callers import Changes
from amends.testing.simulator.heard import Heard
from amends.testing.simulator.hosts import SimulatedLoop, at_once
from amends.testing.simulator.outside import Execution, Key
from amends.testing.simulator.owed import Messages
from amends.testing.simulator.punctual import SCHEDULES, Punctual
from amends.testing.simulator.rest import has_undo, holds_key, rests, told_by_key
from amends.testing.simulator.said import Said
from amends.testing.simulator.stored import CheckedStore
from amends.testing.simulator.trace import Trace, marker_of, marker_of_child
from consumers.envelopes import load_word
from orchestrator.commands import timeout_of
from orchestrator.publisher import SEND_SECONDS_MAX
from sagas import events as e
from sagas.events import Recorded
from sagas.evolve import IllegalEvent, evolve
from sagas.inputs import Answer, Outcome
from sagas.manifest import Manifest, Node
from sagas.numbers import DEFAULT_NUMBERS
from sagas.ports import Command, Move
from sagas.state import COMMAND_KINDS, OPEN, State

if TYPE_CHECKING:
    from amends.testing.simulator.outside import Outside

FRESH_SECONDS = 2.5
SOON_SECONDS = 200.0
STALE_SECONDS = 1.0
"""How long it may take from reading an entry to entering its handler, on a host that never stood still."""
UNDER_WAY = ("scheduled", "running", "retrying", "succeeded", "unknown", "undoing")
RAISED = ("Permanent", "Recoverable")


@dataclass(frozen=True, slots=True)
class Violation:
    """Something does not hold."""

    rule: str
    where: str
    detail: str
    at: float

    def __str__(self) -> str:
        """For people."""
        return f"{self.rule}: {self.where}: {self.detail} (at {self.at:.3f} s)"


class Checks:
    """Watches one run."""

    outside: "Outside"
    unread: Callable[[Key, int, float], bool]
    """Whether an outcome of an attempt has been standing in the stream for a while, and so many seconds more."""
    troubled_until = 0.0
    """Until when the living may be taken for dead, since the servers or the network have had trouble."""
    one_clock = True
    """Whether the servers' clocks have never jumped."""
    peace_at = inf
    """From when all is well. No trouble from before excuses what becomes of sagas that begin later."""

    def __init__(self, loop: SimulatedLoop, manifests: Sequence[Manifest], trace: Trace, lease_seconds: float) -> None:
        self.violations: list[Violation] = []
        self._loop = loop
        self._manifests = {manifest.fingerprint: manifest for manifest in manifests}
        self._trace = trace
        self._lease_seconds = lease_seconds
        self._folds: dict[str, State] = {}
        self._scheduled: set[tuple[str, str, int | None, int]] = set()
        self._placeless: set[tuple[str, str, int | None]] = set()
        self._refused: set[tuple[str, str, int | None, int]] = set()
        self._accepted: dict[str, None] = {}
        self._causes: dict[tuple[str, str], int] = {}
        self._over: dict[tuple[str, str, int | None, int], float] = {}
        self._read: dict[str, int] = {}
        self._lost: dict[Key, int] = {}
        self._heard, self._began = Heard(loop.time), dict[str, float]()
        self.changes = Changes(self.fail)
        self._messages = Messages(self.fail, trace.mark)
        self.cursor = (0, 0)
        self._store: CheckedStore | None = None

    def store(self, now: Callable[[], float]) -> CheckedStore:
        """The store, each commit of which is checked."""
        self._punctual = Punctual(now, self.fail)
        self._store = CheckedStore(self._punctual.now, self._commits, self._messages)
        self.said = Said(self._store.at, self._manifest_of, self.fail)
        return self._store

    def _manifest_of(self, saga_id: str) -> Manifest:
        return self._manifests[self._folds[saga_id].fingerprint]

    def fail(self, rule: str, where: str, detail: str) -> None:
        """Something does not hold."""
        self._trace.tell(f"VIOLATION: {rule}", None, where, detail)
        self.violations.append(Violation(rule, where, detail, self._loop.now))

    def accepted(self, answer: Answer) -> None:
        """Somebody was told that there is a saga."""
        if answer.code in ("created", "known"):
            self._accepted[answer.saga_id] = None
            if self._store is not None and answer.saga_id not in self._folds:
                self.fail("11: nothing accepted is lost", answer.saga_id, "answered before it was committed")
        elif answer.code != "conflict":
            self.fail("11: a start is answered", answer.saga_id, f"{answer.code}: {answer.detail}")

    def told(self, saga_id: str, request_id: str, code: str) -> None:
        """Somebody was told what became of what they asked."""
        if code == "accepted" and (saga_id, request_id) not in self._causes:
            self.fail("11: nothing accepted is lost", saga_id, f"{request_id} was answered before it was committed")

    def executes(self, execution: Execution) -> None:
        """A handler is entered."""
        saga_id, step, item = execution.key
        self._trace.tell(f"runs {execution.role}", execution.host, execution.key, execution.attempt)
        attempt = (saga_id, step, item, execution.attempt)
        where = f"{saga_id} {step}[{item}] attempt {execution.attempt}"
        if attempt in self.outside.executed:
            self.fail("9: every execution has its own attempt", where, f"again on {execution.host.name}")
        if attempt not in self._scheduled:
            self.fail("9: an attempt is in the events before it runs", where, execution.role)
        if attempt in self._refused:
            self.fail("17: a refused attempt is never run", where, execution.host.name)
        over, most = self._over.get(attempt), FRESH_SECONDS + STALE_SECONDS
        if over is not None and self._loop.now <= self.troubled_until:  # it waits so long for arguments
            most += timeout_of(self._manifests[self._folds[saga_id].fingerprint].by_name[step], execution.role)
        if over is not None and self._loop.now - over > most and not execution.host.stood:
            self.fail("C3: what is stale does not run", where, f"over since {over:.3f}")

    def sends(self, command: Command) -> None:
        """A command stands in its stream; its sender wrote down when it sent it."""
        assert self._store is not None
        since = self._store.owed_since(command.saga_id, command.opened_by)
        late = 0.0 if since is None else command.sent_ms / 1000 - since - SEND_SECONDS_MAX
        if self.one_clock and late > STALE_SECONDS:
            self.fail("C1: what is old is not sent", command.saga_id, f"{command.step} {command.attempt}: {late:.1f} s")

    def lands(self, execution: Execution) -> None:
        """A step has its effect."""
        saga_id, step, _ = execution.key
        excused = execution.host.stood or self.outside.leapt_since(execution.at)
        if not excused and self._heard.denied_since(execution.key, execution.at):
            self.fail("O3: what was denied does not happen", saga_id, f"{step} {execution.attempt}")

    def acknowledges(self, body: bytes) -> None:
        """An outcome is acknowledged: what it says is in the events, or was too late to change anything (rule C5)."""
        word = load_word(body)
        if not isinstance(word, Outcome):
            return
        if self._heard.lacks(word):
            self.fail("O4: no word of an effect is dropped", word.saga_id, f"{word.step} {word.attempt} {word.kind}")
        state = self._folds.get(word.saga_id)
        wait = state.waits.get(word.opened_by) if state is not None else None
        known = (word.saga_id, word.id) in self._causes
        if not known and wait is not None and wait.attempt == word.attempt and wait.kind == word.role:
            self.fail("C5: no outcome is acknowledged before its commit", word.saga_id, f"{word.step}: {word.id}")

    def reads(self, events: list[tuple[tuple[int, int], str, Recorded]]) -> None:
        """The reader of the feed goes on, together with what it makes of it."""
        for place, saga_id, entry in events:
            if place <= self.cursor:
                continue  # its former self was faster
            if entry.sequence != self._read.get(saga_id, 0) + 1:
                self.fail("A12: a reader meets every event in its order", saga_id, f"{entry.sequence}")
            self._read[saga_id] = entry.sequence
            self.cursor = place

    def all_read(self) -> bool:
        """Whether the reader has met every event."""
        return all(self._read.get(saga_id) == state.version for saga_id, state in self._folds.items())

    def _commits(self, move: Move) -> None:
        """One saga has moved."""
        saga_id = move.saga_id
        state = self._folds.get(saga_id) or State(saga_id)
        if saga_id not in self._folds:
            self._began[saga_id] = self._loop.now
            self.changes.began(saga_id)
        for cause in dict.fromkeys(entry.causation for entry in move.events if entry.causation):
            if (saga_id, cause) in self._causes:
                self.fail("A1: no input is taken twice", saga_id, f"{cause}")
            self._causes[saga_id, cause] = move.state.version
        for entry in move.events:
            self._trace.tell(
                type(entry.event).__name__, None, (saga_id, entry.event.step, entry.event.item), entry.event.attempt,
                getattr(entry.event, "cause", None) or "",
            )  # fmt: skip
            self._trace.mark(marker_of(entry.event))
            if entry.sequence != state.version + 1:
                self.fail("8: sequence numbers have no gaps", saga_id, f"{entry.sequence} after {state.version}")
            self._heard.record(saga_id, entry.event)
            manifest = self._manifests[state.fingerprint or move.state.fingerprint]
            self._before(manifest, state, entry.event)
            self.said.record(manifest, saga_id, entry)
            self._punctual.watch(manifest, state, entry)
            used = state.step(entry.event.step, entry.event.item).retries if entry.event.step else 0
            try:
                state = evolve(state, entry)
                self._bounds(manifest, state, entry.event, used)
            except IllegalEvent as broken:
                self.fail("8: every event can be folded", saga_id, str(broken))
                state = move.state
        before = self._folds.get(saga_id)
        for opened_by in move.waits_gone:
            wait = before.waits.get(opened_by) if before is not None else None
            if wait is not None and wait.kind in COMMAND_KINDS:
                self._over[saga_id, wait.step or "", wait.item, wait.attempt] = self._loop.now
        self._folds[saga_id] = state
        if state != move.state:
            self.fail("8: the head is the fold of its events", saga_id, f"version {state.version}")
        self._after(saga_id, state)

    def _before(self, manifest: Manifest, state: State, event: e.Event) -> None:
        saga_id = state.saga_id
        if isinstance(event, SCHEDULES):
            attempt = (saga_id, event.step or "", event.item, event.attempt)
            if attempt in self._scheduled:
                self.fail("9: no attempt is scheduled twice", saga_id, str(attempt[1:]))
            self._scheduled.add(attempt)
            if state.held:
                self.fail("16: a held saga schedules nothing", saga_id, type(event).__name__)
            if isinstance(event, e.StepScheduled):
                self._room(manifest.by_name[event.step or ""], state, event)
        if isinstance(event, e.StepSucceeded | e.StepUndone | e.FallbackUsed):
            self._told(manifest.by_name[event.step or ""], state, event, "returned")
        if isinstance(event, e.StepFailed) and event.error["type"] in RAISED:
            self._told(manifest.by_name[event.step or ""], state, event, "failed")
        if isinstance(event, e.StepOutcomeUnknown) and event.role == "step" and event.cause == "worker_lost":
            place = (saga_id, event.step or "", event.item)
            self._lost[place] = self._lost.get(place, 0) + 1
            if self._lost[place] > DEFAULT_NUMBERS.poison:
                self.fail("10: poison is bounded", saga_id, f"{self._lost[place]} workers lost of {place[1:]}")
        if isinstance(event, e.RetryRequested):
            again = (saga_id, event.step or "", event.item)
            self._lost.pop(again, None)  # an operator wants to see it run again
            placed = state.step(*again[1:]).status in OPEN or state.wait_of(*again[1:], "probe", "retry") is not None
            self._placeless |= set() if placed else {again}
        if isinstance(event, e.StepOutcomeUnknown | e.UndoFailed) and event.cause in ("lost", "worker_lost"):
            self._judged(state, event, str(event.cause))
        if isinstance(event, e.SagaMigrated):  # what is under way keeps its place, whatever limit is new
            self._placeless |= {(saga_id, *key) for key, step in state.steps.items() if step.status in UNDER_WAY}
        if isinstance(event, e.StepRefused):
            self._refused.add((saga_id, event.step or "", event.item, event.attempt))
        if isinstance(event, e.ChildStarted):
            self._trace.mark(marker_of_child(manifest, event.step or ""))
        if isinstance(event, e.StepScheduled | e.ChildStarted) and state.version:
            self._depends(manifest, state, event)
        if isinstance(event, e.UndoScheduled) and event.step:
            for other in sorted(manifest.descendants[event.step]):
                for key, step in state.steps.items():
                    if key[0] == other and step.status in UNDER_WAY and has_undo(manifest.by_name[other]):
                        self.fail("5: undone in reverse order", saga_id, f"{event.step} before {key} {step.status}")
            for wait in state.waits.values():
                behind = wait.cause == "late_effect" and wait.step in manifest.descendants[event.step]
                if behind and has_undo(manifest.by_name[wait.step or ""]):
                    self.fail("5: undone in reverse order", saga_id, f"{event.step} before {wait.step}, which was late")
            pivot = manifest.pivot
            passed = pivot is not None and state.step(pivot.name).status in ("succeeded", "scheduled", "running")
            if passed and pivot is not None and event.step != pivot.name:
                self.fail("6: no way back past the pivot", saga_id, f"{event.step} is undone")

    def _told(self, node: Node, state: State, event: e.Event, how: str) -> None:
        """What is recorded of an attempt its handler has said; of a transaction step the key may tell it."""
        attempt = (state.saga_id, node.name, event.item, event.attempt)
        if node.kind == "step" and not told_by_key(node, event) and self.outside.ended.get(attempt) != how:
            self.fail("O1: what is recorded was said", state.saga_id, f"{type(event).__name__} {attempt[1:]}")

    def _judged(self, state: State, event: e.StepOutcomeUnknown | e.UndoFailed, cause: str) -> None:
        """An attempt is given up: nobody who lives, and was never cut off, has it or has told of it."""
        key = (state.saga_id, event.step or "", event.item)
        execution = self.outside.running.get((*key, event.attempt))
        judged = event.worker is None  # a worker that was handed a command of another memory says that it is lost (L7)
        assert self._store is not None
        if cause == "lost" and judged and self.unread(key, event.attempt, self._store.taking_seconds):
            self.fail("A11: no command is judged while its outcome lies unread", state.saga_id, f"{event.step}")
        host = execution.host if execution is not None else None
        well = self._began[state.saga_id] > self.peace_at
        if host is not None and host.alive and (well or not (host.stood or self._loop.now <= self.troubled_until)):
            self.fail("20: what lives is not given up", state.saga_id, f"{event.step} {event.attempt}: {cause}")

    def _depends(self, manifest: Manifest, state: State, event: e.Event) -> None:
        node = manifest.by_name[event.step or ""]
        for name in node.after:
            states = [step for key, step in state.steps.items() if key[0] == name]
            open_ones = [step.status for step in states if step.status not in ("succeeded", "skipped")]
            if open_ones or (not states and manifest.by_name[name].each is None):
                self.fail("2: no step before what it depends on", state.saga_id, f"{node.name} before {name}")

    def _after(self, saga_id: str, state: State) -> None:
        desks = [(wait.step, wait.item) for wait in state.waits.values() if wait.kind == "operator"]
        if len(desks) != len(set(desks)):
            self.fail("19: one operator wait for one thing", saga_id, str(desks))
        left = [wait.kind for wait in state.waits.values() if wait.kind not in ("operator", "notify")]
        if state.terminal and left:
            self.fail("8: what has ended waits for nothing that runs", saga_id, str(left))
        elif not (state.terminal or state.waits or state.held or state.closed):
            self.fail("1: whoever has not ended waits for something", saga_id, state.status)
        assert self._store is not None
        rows = sorted(row.opened_by for row in self._store.rows_of(saga_id) if row.kind != "notify")
        waits = sorted(wait.opened_by for wait in state.waits.values() if wait.kind != "notify")
        if rows != waits:
            self.fail("8: the waits are those of the fold", saga_id, f"{rows}, not {waits}")

    def _room(self, node: Node, state: State, event: e.StepScheduled) -> None:
        """An item has a place; one that an operator tries again needs none, then or later."""
        mine = [wait for wait in state.waits.values() if wait.step == node.name and wait.kind == "step"]
        items = {wait.item for wait in mine} | {event.item}
        placed = [item for item in items if (state.saga_id, node.name, item) not in self._placeless]
        if node.concurrency is not None and event.item in placed and len(placed) > node.concurrency:
            self.fail("R16: no more items at once than may be", state.saga_id, f"{len(placed)} of {node.name}")

    def _bounds(self, manifest: Manifest, state: State, event: e.Event, used: int) -> None:
        """What attempts may cost (rule O6), by the version that the saga goes by when it pays."""
        node, step = manifest.by_name.get(event.step or ""), state.step(event.step or "", event.item)
        policy = node.handler.retry if node is not None and node.handler is not None else None
        if policy is not None and step.retries > max(used, len(policy.delays)):
            if policy.forever:
                self._trace.mark("the last delay is repeated")
            else:
                text = f"{step.retries} of {len(policy.delays)}"
                self.fail("O6: retries have a budget", f"{state.saga_id} {event.step}[{event.item}]", text)

    def at_rest(self) -> bool:
        """Whether every saga has ended, or waits for people alone."""
        assert self._store is not None
        return all(map(self._rests, self._folds.values())) and not any(
            row.kind == "notify" for row in self._store.rows()
        )

    def _rests(self, state: State) -> bool:
        assert self._store is not None
        return rests(state, self._folds, at_once(self._store.now()) + SOON_SECONDS)

    def endings(self) -> dict[str, int]:
        """How many sagas stand where."""
        found: dict[str, int] = {}
        for state in self._folds.values():
            found[state.status] = found.get(state.status, 0) + 1
        return found

    def finish(self) -> None:
        """What must hold at the end."""
        assert self._store is not None
        for text in self._trace.errors:
            self.fail("no error is logged", "", text)
        if not self.all_read():
            self.fail("A12: a reader meets every event", "", "some were never met")
        for saga_id in self._accepted:
            if saga_id not in self._folds:
                self.fail("11: nothing accepted is lost", saga_id, "there is no such saga")
        self.changes.finish(self._folds)
        self._messages.finish(self._folds, self._store.outbox)
        holders = [(state.definition, state.key) for state in self._folds.values() if holds_key(state)]
        if len(holders) != len(set(holders)):
            self.fail("R23: a key has one saga", "", str(sorted(map(str, holders))))
        owing = {row.saga_id for row in self._store.rows() if row.kind == "notify"}
        for saga_id, state in self._folds.items():
            manifest = self._manifests[state.fingerprint]
            if not self._rests(state) or saga_id in owing:
                waits = [(wait.kind, wait.step, wait.cause) for wait in state.waits.values()]
                self.fail("1: every saga comes to rest", saga_id, f"{state.status}, waits for {waits}")
            parent = self._folds.get(state.parent.saga_id) if state.parent else None
            if parent is not None and parent.terminal and not state.terminal and not state.closed:
                self.fail("18: no child is active under an ended parent", saga_id, state.status)
            for node in manifest.nodes:
                self._effects(manifest, node, state)

    def _effects(self, manifest: Manifest, node: Node, state: State) -> None:
        there: list[Key] = [key for key in self.outside.there if key[:2] == (state.saga_id, node.name)]
        desks = {(wait.step, wait.item) for wait in state.waits.values() if wait.kind == "operator"}
        if state.status == "compensated" and node.undo is not None:
            for key in there:
                if key[1:] not in desks and not self.outside.is_unavoidable(key, node, self._lease_seconds):
                    self.fail("3: no effect is left behind", state.saga_id, f"{key[1:]} is there")
        back = state.status in ("compensated", "compensating", "failed")
        passed = node.pivot and there and not self.outside.is_unavoidable(there[0], node, self._lease_seconds)
        if passed and back and (node.name, None) not in desks:
            self.fail("6: nothing is turned back past a pivot that happened", state.saga_id, node.name)
        if state.status == "completed" and node.undo is not None:
            for key in there:
                status, asked = state.step(*key[1:]).status, key[1:] in desks
                unavoidable = asked or self.outside.is_unavoidable(key, node, self._lease_seconds)
                if status != "succeeded" and not unavoidable:
                    self.fail("3: no effect is left behind", state.saga_id, f"{key[1:]} is {status}, and there")
        if state.status == "completed":
            for (name, item), step in state.steps.items():
                known = node.kind == "step" and name == node.name and step.status == "succeeded"
                if known and (state.saga_id, name, item) not in self.outside.there:
                    self.fail("4: every effect is there", state.saga_id, f"{name}[{item}]")

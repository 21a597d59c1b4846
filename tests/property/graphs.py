"""Random saga graphs, and a world that answers their commands in random ways."""

import random
from dataclasses import dataclass, field
from typing import Any, Literal

from sagas import events as e
from sagas.decide import decide
from sagas.definition import OnTimeout
from sagas.events import Recorded
from sagas.evolve import evolve
from sagas.facts import facts_of
from sagas.inputs import (
    Correct,
    Due,
    Hold,
    Input,
    Migrate,
    Outcome,
    Release,
    Repair,
    Resolve,
    Send,
    Start,
    TryAgain,
)
from sagas.manifest import Handler, Manifest, Node, RetryPolicy, StepClass
from sagas.numbers import DEFAULT_NUMBERS
from sagas.state import COMMAND_KINDS, State, Wait, is_start_limit
from tests.property.versions import next_version, paths_of

Key = tuple[str, int | None]
LEASE_SECONDS = DEFAULT_NUMBERS.lease_seconds
CAUSES = ("timed_out", "worker_lost", "lost", "drained", "cancelled", "error")


def manifest_of(rng: random.Random) -> Manifest:
    """A graph of one to seven nodes: with or without pivot, undo, fallback, probe, each, when, signals and pauses."""
    count = rng.randint(1, 7)
    pivot = rng.choice([None, rng.randrange(count)])
    nodes: list[Node] = []
    for index in range(count):
        names = [node.name for node in nodes]
        after = rng.sample(names, rng.randint(0, min(len(names), 2)))
        if pivot is not None and index == pivot:
            after = names
        if pivot is not None and index > pivot:
            after = [f"s{pivot}", *(name for name in after if name != f"s{pivot}")]
        nodes.append(_node(rng, index, pivot, tuple(after)))
    return Manifest(
        name="random", nodes=tuple(nodes), input="dict", input_schema={},
        paths=paths_of(nodes), deadline=rng.choice([None, None, 40.0]),
    )  # fmt: skip


def _node(rng: random.Random, index: int, pivot: int | None, after: tuple[str, ...]) -> Node:
    if index != pivot and rng.random() < 0.15:
        return _wait(rng, index, pivot, after)
    transactional = rng.random() < 0.4
    retry = RetryPolicy(delays=tuple([1.0, 5.0][: rng.randint(0, 2)]))
    handler = Handler(f"do{index}", transactional=transactional, retry=retry)
    undo = Handler(f"undo{index}", retry=RetryPolicy(delays=(1.0,)))
    behind = pivot is not None and index > pivot
    kind: StepClass = "retriable" if behind else rng.choice(("compensatable", "compensatable", "no_undo"))
    if index == pivot:
        kind = "pivot"
    return Node(
        name=f"s{index}", kind="step", step_class=kind, after=after, handler=handler,
        undo=undo if kind == "compensatable" else None,
        fallback=Handler(f"fall{index}", transactional=transactional) if rng.random() < 0.2 else None,
        each="input.items" if rng.random() < 0.2 and kind != "pivot" else None,
        concurrency=rng.choice([None, 1, 2]), when="input.flag" if rng.random() < 0.15 else None,
        item_failure=rng.choice(("fail", "leave_out")),
        probe=Handler(f"ask{index}") if not transactional and rng.random() < 0.3 else None,
        schedule_timeout=3.0 if rng.random() < 0.2 else None,
    )  # fmt: skip


def _wait(rng: random.Random, index: int, pivot: int | None, after: tuple[str, ...]) -> Node:
    if rng.random() < 0.4:
        return Node(f"s{index}", "sleep", "sleep", after=after, length=rng.choice([0.0, 30.0]))
    behind = pivot is not None and index > pivot
    silence: OnTimeout = "continue" if behind else rng.choice(("compensate", "continue"))
    return Node(f"s{index}", "signal", "signal", after=after, timeout=30.0, on_timeout=silence)


@dataclass
class World:
    """Plays workers, orchestrator and clock for one saga, and keeps a ledger of what really happened."""

    rng: random.Random
    manifest: Manifest
    state: State = field(default_factory=lambda: State(saga_id="00000000-0000-7000-8000-000000000001"))
    history: list[Recorded] = field(default_factory=list[Recorded])
    now: float = 1000.0
    done: set[Key] = field(default_factory=set[Key])
    maybe: set[Key] = field(default_factory=set[Key])
    """What happened, or may have: somebody said so, or nobody could say that it did not."""
    runs_until: dict[Key, float] = field(default_factory=dict[Key, float])
    """How long an attempt of which nobody knows the end may be running still (rule B1)."""
    executed: set[tuple[str, int | None, int]] = field(default_factory=set[tuple[str, int | None, int]])
    closed: set[Key] = field(default_factory=set[Key])
    late: list[Outcome] = field(default_factory=list[Outcome])
    trouble: float = 0.3
    input: dict[str, Any] = field(default_factory=dict[str, Any])
    versions: list[tuple[int, Manifest]] = field(default_factory=list[tuple[int, Manifest]])
    """By which version the saga went up to which of its events, the last one apart."""

    def start(self) -> None:
        """Accept the saga."""
        self.give(Start(self.state.saga_id, self.manifest, self.new_input()))

    def new_input(self) -> dict[str, Any]:
        """An input of a random saga."""
        return {"items": list(range(self.rng.randint(0, 3))), "flag": self.rng.random() < 0.5}

    def give(self, word: Input) -> None:
        """Decide an input and keep what follows."""
        state, version = self.state, self.state.version
        decision = decide(self.manifest, state, word, self.now)
        self.state = decision.state
        self.history.extend(decision.recorded)
        if isinstance(word, Start | Correct | Migrate) and self.state.version > version:
            self._taken(word, version)
        for entry in decision.recorded:
            self._watch(entry)
            watch_direction(self.manifest, state, entry)
            state = evolve(state, entry)

    def _taken(self, word: Start | Correct | Migrate, version: int) -> None:
        if isinstance(word, Migrate):
            self.versions.append((version, self.manifest))
            self.manifest = word.manifest
        elif isinstance(word, Start) or word.step is None:
            self.input = word.input if isinstance(word, Start) else word.value

    def manifest_at(self, sequence: int) -> Manifest:
        """The version that the saga went by when this event was recorded."""
        return next((manifest for last, manifest in self.versions if sequence <= last), self.manifest)

    def _watch(self, entry: Recorded) -> None:
        """No undo begins while something that it takes away, or that leans on it, may be running still (rule B1)."""
        event = entry.event
        if isinstance(event, e.StepOutcomeUnknown) and event.role in ("step", "fallback"):
            self.maybe.add((event.step or "", event.item))
        node = self.manifest.by_name.get(event.step or "")
        if node is None or node.transactional:
            return  # a transaction step cannot come late: its key is closed (rule T2)
        key = (node.name, event.item)
        late = isinstance(event, e.LateOutcomeSeen) and event.outcome == "unknown" and event.role != "undo"
        if late or (isinstance(event, e.StepOutcomeUnknown) and event.role in ("step", "fallback")):
            timeout = max(handler.timeout for handler in (node.handler, node.fallback) if handler is not None)
            self.runs_until[key] = entry.at + timeout + LEASE_SECONDS
        if isinstance(event, e.UndoScheduled):
            leaning = self.manifest.descendants[node.name]
            taken = [other for other in self.runs_until if other == key or other[0] in leaning]
            running = [other for other in taken if self.runs_until[other] > entry.at + 0.001]
            assert not running, f"the undo of {key} begins while {running} may be running"
            out = [wait for wait in self.commands() if wait.role in ("step", "fallback")]
            out = [wait for wait in out if (wait.step, wait.item) == key or wait.step in leaning]
            assert not out, f"the undo of {key} begins while {out} is out"

    def judge(self, wait: Wait, verdict: Literal["lost", "timed_out"]) -> None:
        """The check of a command finds its entry gone, or running for too long."""
        self.give(Due(self.state.saga_id, wait.opened_by, verdict))

    def commands(self) -> list[Wait]:
        """The commands that are out."""
        return [wait for wait in self.state.waits.values() if wait.kind in COMMAND_KINDS]

    def run_command(self, wait: Wait) -> None:
        """A worker takes one command; what it says need not be what happened."""
        assert wait.step is not None
        self.now += self.rng.random()
        assert (wait.step, wait.item, wait.attempt) not in self.executed, "every execution has its own attempt"
        self.executed.add((wait.step, wait.item, wait.attempt))
        key, node = (wait.step, wait.item), self.manifest.by_name[wait.step]
        if wait.role == "undo":
            assert key in self.maybe or node.transactional, f"{key} is undone, and is known not to have happened"
        word = self._outcome(wait)
        if wait.role in ("step", "fallback") and word.kind in ("succeeded", "unknown"):
            self.maybe.add(key)
        if word.kind == "unknown" and wait.role in ("step", "undo") and self.rng.random() < 0.2:
            self.late.append(self._word(wait, "succeeded"))
        self.give(word)
        denied = wait.role == "probe" and word.closed and not node.transactional
        if denied and not self.state.step(*key).maybe:  # else it was asked too early (rule O3)
            self.maybe.discard(key)

    def deliver_late(self) -> None:
        """A worker that was given up speaks: what it did had its effect until now."""
        word = self.late.pop(self.rng.randrange(len(self.late)))
        key = (word.step, word.item)
        closed = self.manifest.by_name[word.step].transactional and key in self.closed
        if word.role == "undo":
            self.done.discard(key)
        elif not closed:
            self.done.add(key)
            self.maybe.add(key)
        if word.role == "undo" or not closed:
            self.give(word)

    def _outcome(self, wait: Wait) -> Outcome:
        key = (wait.step or "", wait.item)
        node = self.manifest.by_name[key[0]]
        if wait.role in ("undo", "probe", "fallback") and node.transactional and key not in self.done:
            self.closed.add(key)
            if wait.role != "fallback":
                return self._word(wait, "succeeded", closed=True)
        if wait.role == "probe":
            if node.probe is not None and self.rng.random() < self.trouble:
                return self._word(wait, "unknown", cause="error")
            if key in self.done or node.probe is None:
                return self._word(wait, "succeeded", happened=True)
            return self._word(wait, "succeeded", closed=True)
        if self.rng.random() >= self.trouble:
            if wait.role == "undo":
                self.done.discard(key)
            else:
                self.done.add(key)
            return self._word(wait, "succeeded")
        kind = self.rng.choice(("failed", "failed", "unknown", "unknown", "refused"))
        if kind == "unknown":
            if wait.role != "undo" and self.rng.random() < 0.5:
                self.done.add(key)
            return self._word(wait, "unknown", cause=self.rng.choice(CAUSES))
        if kind == "refused":
            return self._word(wait, "refused", cause=self.rng.choice(("no_handler", "drained")))
        retryable = self.rng.random() < 0.5
        return self._word(
            wait, "failed", error={"type": "E", "code": "c", "message": "no", "attempt": 1, "retryable": retryable}
        )

    def _word(self, wait: Wait, kind: str, **more: object) -> Outcome:
        return Outcome(
            saga_id=self.state.saga_id, opened_by=wait.opened_by, attempt=wait.attempt, step=wait.step or "",
            item=wait.item, role=wait.role, kind=kind, **more,  # type: ignore[arg-type]
        )  # fmt: skip

    def send(self) -> None:
        """Somebody sends something to a wait, whether it is its time or not."""
        names = [node.name for node in self.manifest.nodes if node.kind == "signal"]
        if names:
            word = Send(self.state.saga_id, self.rng.choice(names), True, f"s{self.state.version}")
            self.give(word)

    def hold_or_release(self) -> None:
        """An operator holds the saga, or lets it go on."""
        kind = Release if self.state.held else Hold
        self.give(kind(self.state.saga_id, "so", f"h{self.state.version}"))

    def meddle(self) -> None:
        """Somebody asks for something that need not make sense now, or the reconciler ends what is not over."""
        rng, node = self.rng, self.rng.choice(self.manifest.nodes)
        told = (self.state.saga_id, "so it is", f"m{self.state.version}/{rng.random()}")
        item = None if node.each is None else rng.choice([None, 0, 1])
        match rng.choice(("again", "correct", "correct input", "migrate", "repair", "operate")):
            case "again":
                self.give(TryAgain(*told, step=node.name, item=item, undo=rng.random() < 0.2))
            case "correct":
                self.give(Correct(*told, step=node.name, item=item, value=5))
            case "correct input":
                self.give(Correct(*told, value=self.new_input() if rng.random() < 0.5 else self._same_list()))
            case "migrate":
                new = next_version(rng, self.manifest, f"n{self.state.version}")
                self.give(Migrate(*told, manifest=new, facts=facts_of(new, "input", self.input)))
            case "repair":
                self.repair()
            case _:
                self.operate()

    def _same_list(self) -> dict[str, Any]:
        return {**self.input, "flag": self.rng.random() < 0.5}

    def repair(self) -> None:
        """The reconciler believes that nobody ends a wait (rule K2)."""
        waits = [wait for wait in self.state.waits.values() if wait.kind not in ("operator", "notify", "child")]
        if waits:
            self.give(Repair(self.state.saga_id, self.rng.choice(waits).opened_by, "waits_overdue"))

    def operate(self) -> bool:
        """An operator decides one thing that waits for them; whether there was any."""
        desks = [wait for wait in self.state.waits.values() if wait.kind == "operator" and wait.step is not None]
        if not desks or self.state.held:
            return False
        desk = self.rng.choice(desks)
        key, step = (desk.step or "", desk.item), desk.step or ""
        asked: dict[str, Any] = {"step": step, "item": desk.item}
        told = (self.state.saga_id, "looked", f"o{self.state.version}/{self.now}")
        before = self.state.version
        match self.rng.choice(("again", "undone", "happened", "did_not_happen", "skip")):
            case "again":
                self.give(TryAgain(*told, **asked))
            case "undone":
                self.give(Resolve(*told, outcome="undone", **asked))
                if self.state.version > before:
                    self.done.discard(key)
                    self.maybe.discard(key)
            case "happened" if key in self.done:
                self.give(Resolve(*told, outcome="happened", **asked))
            case "did_not_happen" | "skip" as outcome if key not in self.done and not self.late:
                self.give(Resolve(*told, outcome=outcome, **asked))
                again = self.state.step(*key).status == "scheduled"  # as a pivot is
                taken = self.state.version > before  # what is on its way cannot be resolved
                if taken and (again or self.state.step(*key).status in ("failed", "skipped")):
                    self.maybe.discard(key)
            case _:
                pass
        return True

    def pass_time(self) -> bool:
        """Let the earliest due wait end; whether there was one."""
        due = [wait for wait in self.state.waits.values() if wait.due_at is not None and wait.kind != "operator"]
        if not due or self.state.held:
            return False
        first = min(due, key=lambda wait: (wait.due_at or 0.0, wait.opened_by))
        self.now = max(self.now, first.due_at or 0.0)
        unread = is_start_limit(first) and self.state.wait_of(first.step, first.item, "step") is not None
        self.give(Due(self.state.saga_id, first.opened_by, "withdrawn" if unread else "fire"))
        return True


FORWARD = (e.StepScheduled, e.FallbackScheduled, e.ChildStarted)


def watch_direction(manifest: Manifest, state: State, entry: Recorded) -> None:
    """Nothing forward is scheduled once a saga is not active, and nothing turns back past its pivot."""
    event, pivot = entry.event, manifest.pivot
    ahead = isinstance(event, FORWARD) or (isinstance(event, e.WaitOpened) and event.kind == "signal")
    assert not ahead or state.status in ("", "active"), f"{type(event).__name__} of {event.step} while {state.status}"
    if isinstance(event, e.SagaTurnedBack) and pivot is not None:
        passed = state.step(pivot.name).status in ("succeeded", "skipped")
        assert not passed, "the saga turns back past its pivot"

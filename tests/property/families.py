"""Random families: sagas that start sagas, with messages that come late, twice, and in the order of their sender."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from orchestrator.messages import STATUSES
from orchestrator.waits import is_message
from sagas import events as e
from sagas.events import Recorded
from sagas.inputs import Cancel, ChildEnds, Input, ParentTurnsBack, Resolve, Start
from sagas.manifest import Manifest, Node, StepClass
from sagas.state import Parent, State
from tests.property.graphs import World, manifest_of

ROOT = "00000000-0000-7000-8000-000000000001"
DEPTH = 2
REPEATED = 0.2
"""How often a message is not known to have arrived, and comes again."""


def family_of(rng: random.Random) -> dict[str, Manifest]:
    """A graph called `root`, and those that it starts, with theirs."""
    found: dict[str, Manifest] = {}
    _graph(rng, "root", found, DEPTH, pivot=None)
    return found


def _graph(rng: random.Random, name: str, found: dict[str, Manifest], depth: int, *, pivot: bool | None) -> None:
    """A random graph, some of whose steps are children; with a pivot, without one, or as it comes."""
    manifest = manifest_of(rng)
    while pivot is not None and (manifest.pivot is not None) != pivot:
        manifest = manifest_of(rng)
    nodes = list(manifest.nodes)
    chosen = [place for place, node in enumerate(nodes) if node.kind == "step" and rng.random() < 0.4] if depth else []
    for place in chosen[:2]:
        child = f"{name}.{nodes[place].name}"
        _graph(rng, child, found, depth - 1, pivot=nodes[place].pivot)
        nodes[place] = _child(nodes[place], child)
    found[name] = replace(manifest, name=name, nodes=tuple(nodes))


def _child(node: Node, name: str) -> Node:
    kind: StepClass = "pivot" if node.pivot else "child"
    return Node(node.name, "child", kind, after=node.after, child=name, child_input="input")


class Member(World):
    """One saga of a family, whose messages go to the others."""

    family: "Family"

    def give(self, word: Input) -> None:
        """Decide an input, and post what others are to hear of it."""
        before = len(self.history)
        super().give(word)
        for entry in self.history[before:]:
            if is_message(self.manifest, self.state, entry.event):
                self.family.post(self, entry)
            if isinstance(entry.event, e.UndoScheduled):
                self.family.check_undo(self, entry.event.step or "")


@dataclass
class Family:
    """All sagas of a family, one clock, and the messages that are under way."""

    rng: random.Random
    manifests: dict[str, Manifest]
    trouble: float
    now: float = 1000.0
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    mail: dict[tuple[str, str], list[Input]] = field(default_factory=dict[tuple[str, str], list[Input]])

    def start(self) -> None:
        """Start the eldest."""
        member = self._member(ROOT, self.manifests["root"])
        self._tell(Start(ROOT, member.manifest, member.new_input()))

    def _member(self, saga_id: str, manifest: Manifest) -> Member:
        if saga_id not in self.members:
            member = Member(self.rng, manifest, State(saga_id), trouble=self.trouble)
            member.family = self
            self.members[saga_id] = member
        return self.members[saga_id]

    def _tell(self, word: Input) -> None:
        member = self.members[word.saga_id]
        member.now = max(member.now, self.now)
        member.give(word)

    def post(self, sender: Member, entry: Recorded) -> None:
        """Put a message on its way (rule B5)."""
        state, event = sender.state, entry.event
        message = f"{state.saga_id}/{entry.sequence}"
        word: Input
        match event:
            case e.ChildStarted():
                manifest = self.manifests[event.definition]
                parent = Parent(state.saga_id, event.step or "", event.attempt)
                word = Start(event.child_id, manifest, sender.new_input(), request_id=message, parent=parent)
            case e.UndoScheduled():
                word = ParentTurnsBack(state.step(event.step or "").child or "", message)
            case _:
                assert state.parent is not None
                word = ChildEnds(state.parent.saga_id, message, child_id=state.saga_id, step=state.parent.step,
                                 attempt=state.parent.attempt, status=STATUSES[type(event)])  # fmt: skip
        self.mail.setdefault((state.saga_id, word.saga_id), []).append(word)

    def deliver(self) -> None:
        """The first message of some sender to some receiver arrives; perhaps it is not known to, and comes again."""
        road = self.rng.choice([road for road, words in self.mail.items() if words])
        word = self.mail[road][0]
        if self.rng.random() >= REPEATED:
            del self.mail[road][0]
        if isinstance(word, Start):
            self._member(word.saga_id, word.manifest)
        self._tell(word)

    def on_the_way(self) -> bool:
        """Whether there is any message."""
        return any(self.mail.values())

    def act(self) -> bool:
        """Something happens to somebody; whether anything could."""
        working = [member for member in self.members.values() if member.commands()]
        if self.on_the_way() and (not working or self.rng.random() < 0.4):
            self.deliver()
            return True
        member = self.rng.choice(list(self.members.values()))
        member.now = max(member.now, self.now)
        draw = self.rng.random()
        if draw < 0.02:
            member.give(Cancel(member.state.saga_id, "enough", f"c{member.state.version}"))
        elif draw < 0.04 or (member.state.held and draw < 0.3):
            member.hold_or_release()
        elif draw < 0.1:
            member.send()
        elif draw < 0.14:
            member.meddle()
        elif member.late and draw < 0.24:
            member.deliver_late()
        elif working:
            self._work(self.rng.choice(working), draw)
        else:
            return self._wait()
        self.now = max(self.now, member.now)
        return True

    def _work(self, member: Member, draw: float) -> None:
        member.now = max(member.now, self.now)
        wait = self.rng.choice(member.commands())
        if draw > 0.97:
            member.judge(wait, "lost")
        else:
            member.run_command(wait)
        self.now = max(self.now, member.now)

    def _wait(self) -> bool:
        """Time passes, until the first of all has something due; else whoever can still speak or go on does."""
        due = [
            (wait.due_at, member.state.saga_id)
            for member in self.members.values()
            for wait in member.state.waits.values()
            if wait.due_at is not None and wait.kind != "operator" and not member.state.held
        ]
        if due:
            self.members[min(due)[1]].pass_time()
            self.now = max(self.now, *(member.now for member in self.members.values()))
            return True
        for member in self.members.values():
            if member.late:
                member.deliver_late()
                return True
            if member.state.held:
                member.hold_or_release()
                return True
        return False

    def operate(self) -> bool:
        """An operator decides something of somebody; now and then they accept what rests."""
        for member in self.members.values():
            member.now = max(member.now, self.now)
            if member.state.status == "failed" and not member.state.closed and self.rng.random() < 0.2:
                told = (member.state.saga_id, "let it be", f"o{member.state.version}")
                member.give(Resolve(*told, outcome="accept"))
                return True
            if member.operate():
                return True
        return False

    def children(self, parent: Member) -> Iterator[tuple[str, State | None]]:
        """Whom a saga has started, by step; some have not heard of it yet."""
        for entry in parent.history:
            if isinstance(entry.event, e.ChildStarted):
                child = self.members.get(entry.event.child_id)
                yield entry.event.step or "", None if child is None else child.state

    def check_undo(self, parent: Member, step: str) -> None:
        """What a child leans on is not undone before the child is (rule B1)."""
        for name, child in self.children(parent):
            if name in parent.manifest.descendants[step] and parent.state.step(name).child is not None:
                assert child is not None, f"{step} is undone before the child of {name} has heard of its start"
                gone = child.status == "compensated" or child.closed or SAGA_REOPENED in _kinds(self, child)
                assert gone, f"{step} is undone while the child of {name} is {child.status}"


SAGA_REOPENED = "SagaReopened"


def _kinds(family: Family, state: State) -> set[str]:
    return {type(entry.event).__name__ for entry in family.members[state.saga_id].history}

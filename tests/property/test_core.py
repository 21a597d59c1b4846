"""Whatever the graph and whatever the outcomes: the invariants of design section 11 hold, and every saga ends."""

import random
from dataclasses import replace
from functools import reduce
from typing import Literal

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sagas import events as e
from sagas.evolve import evolve
from sagas.inputs import Cancel, Send
from sagas.manifest import Manifest, Node
from sagas.state import State
from tests.property.graphs import World, manifest_of

OPERATED_MAX = 5
ENDINGS = (
    e.StepSucceeded, e.StepSkipped, e.FallbackUsed, e.ProbeAnswered, e.StepResolved, e.TimerFired, e.SignalReceived,
    e.ChildEnded,
)  # fmt: skip
TROUBLES = (0.0, 0.1, 0.3, 0.6, 0.9)


def play(seed: int, trouble: float) -> World:
    """Run one random saga to its end."""
    rng = random.Random(seed)
    world = World(rng, manifest_of(rng), trouble=trouble)
    world.start()
    end(world)
    return world


def end(world: World) -> None:
    """Go on until nothing moves any more, checking after each input."""
    rng, operated = world.rng, 0
    for _ in range(2000):
        check_always(world)
        draw = rng.random()
        if world.late and draw < 0.1:
            world.deliver_late()
        elif draw < 0.02:
            world.give(Cancel(world.state.saga_id, "enough", f"c{world.state.version}"))
        elif draw < 0.04 or (world.state.held and draw < 0.3):
            world.hold_or_release()
        elif draw < 0.09:
            world.send()
        elif draw < 0.13:
            world.meddle()
        elif commands := world.commands():
            command = rng.choice(commands)
            if draw > 0.97:
                world.judge(command, "lost")
            else:
                world.run_command(command)
        elif not world.pass_time():
            if world.late:
                world.deliver_late()
            elif world.state.held:
                world.hold_or_release()
            elif operated >= OPERATED_MAX or not world.operate():
                break
            else:
                operated += 1
    else:
        pytest.fail(f"the saga does not end: {world.state}")


def check_always(world: World) -> None:
    """What holds after every input."""
    state = world.state
    assert [entry.sequence for entry in world.history] == list(range(1, state.version + 1))
    folded = reduce(evolve, world.history, State(saga_id=state.saga_id))
    assert folded == state, "inv: head = fold"
    assert State.from_json(state.to_json()) == state
    if state.terminal:
        assert all(wait.kind in ("operator", "notify") for wait in state.waits.values()), "terminal: nothing runs"
    elif not state.held and not state.closed:
        goes_on = [wait for wait in state.waits.values() if wait.kind != "deadline" or wait.step is not None]
        assert goes_on, "a saga that has not ended waits for something, and not for its deadline alone"
    if state.status == "failed" and not state.closed:
        assert any(wait.kind == "operator" for wait in state.waits.values()), "somebody is asked about what rests"
    scheduled = [
        (entry.event.step, entry.event.item, entry.event.attempt)
        for entry in world.history
        if isinstance(entry.event, e.StepScheduled | e.UndoScheduled | e.ProbeScheduled | e.FallbackScheduled)
    ]
    assert len(scheduled) == len(set(scheduled)), "every execution has its own attempt"


def check_ended(world: World) -> None:
    """What holds once nothing moves any more."""
    state = world.state
    nodes = manifest_of_end(world).by_name
    if state.status == "compensated" and not state.waits:
        left = {key for key in world.done if _has_undo(nodes.get(key[0]))}
        assert not left, f"compensated, but still done: {left}"
        owed = {key for key in world.maybe if _has_undo(nodes.get(key[0]))}
        kept = {key for key in owed if state.step(*key).status != "undone"}
        assert not kept, f"compensated, and never undone though it may have happened: {kept}"
    if state.status == "completed":
        for node in nodes.values():
            assert state.step(node.name).status in ("succeeded", "skipped") or node.each is not None
    if state.status in ("active", "compensating", "failed") and not state.closed:
        rests = any(wait.kind in ("operator", "child") for wait in state.waits.values())
        assert rests, "at rest: on an operator's desk, or a child's"
    desks = [(wait.step, wait.item) for wait in state.waits.values() if wait.kind == "operator"]
    assert len(desks) == len(set(desks)), "inv 19: one operator wait for one thing"


def manifest_of_end(world: World) -> Manifest:
    """The version by which the saga ended: what it is moved to later has never run."""
    endings = e.SagaCompleted | e.SagaCompensated
    ended = [entry.sequence for entry in world.history if isinstance(entry.event, endings)]
    return world.manifest_at(ended[-1]) if ended and world.state.terminal else world.manifest


def _has_undo(node: Node | None) -> bool:
    return node is not None and node.undo is not None


def check_order(world: World) -> None:
    """No step before what it depends on; undone in reverse order."""
    ended: set[str] = set()
    undone_at = {
        (entry.event.step, entry.event.item): entry.sequence
        for entry in world.history
        if isinstance(entry.event, e.StepUndone)
    }
    for entry in world.history:
        event = entry.event
        if isinstance(event, ENDINGS) and event.step:
            ended.add(event.step)
        if isinstance(event, e.StepScheduled) and event.step:
            nodes = world.manifest_at(entry.sequence).by_name
            needs = [name for name in nodes[event.step].after if _has_items(world, nodes[name])]
            assert ended.issuperset(needs), f"{event.step} before {needs}"
        if isinstance(event, e.UndoScheduled) and event.step:
            for (name, _), sequence in undone_at.items():
                behind = world.manifest_at(entry.sequence).descendants[event.step]
                if name in behind and sequence > entry.sequence:
                    assert any(
                        _is_late(other.event, name) and entry.sequence < other.sequence < sequence
                        for other in world.history
                    ) or _on_desk(world, name, entry.sequence), f"{event.step} undone before {name}"


def _is_late(event: e.Event, name: str) -> bool:
    return isinstance(event, e.LateOutcomeSeen) and event.step == name


def _on_desk(world: World, name: str, sequence: int) -> bool:
    """Whether an operator knew of a late effect of the step, and chose what to undo first."""
    desks = [
        entry.sequence
        for entry in world.history
        if isinstance(entry.event, e.WaitOpened)
        and (entry.event.step, entry.event.kind, entry.event.cause) == (name, "operator", "late_effect")
    ]
    return any(opened < sequence for opened in desks)


def _has_items(world: World, node: Node) -> bool:
    """Whether there is anything of a step to wait for: an empty list has none, and may yet be skipped as a whole."""
    return any(key[0] == node.name and (key[1] is not None or node.each is None) for key in world.state.steps)


class SagaMachine(RuleBasedStateMachine):
    """Any graph; after each rule the invariants hold, and when the rules stop the saga comes to its end."""

    @initialize(rng=st.randoms(use_true_random=False), trouble=st.sampled_from(TROUBLES))
    def begin(self, rng: random.Random, trouble: float) -> None:
        self.world = World(rng, manifest_of(rng), trouble=trouble)
        self.world.start()

    @rule(data=st.data())
    @precondition(lambda self: self.world.commands())
    def a_worker_tells_what_became_of_a_command(self, data: st.DataObject) -> None:
        self.world.run_command(data.draw(st.sampled_from(self.world.commands())))

    @rule(data=st.data(), verdict=st.sampled_from(["lost", "timed_out"]))
    @precondition(lambda self: self.world.commands())
    def a_command_is_judged_by_its_check(self, data: st.DataObject, verdict: Literal["lost", "timed_out"]) -> None:
        command = data.draw(st.sampled_from(self.world.commands()))
        self.world.judge(command, verdict)

    @rule()
    @precondition(lambda self: self.world.late)
    def a_worker_that_was_given_up_speaks(self) -> None:
        self.world.deliver_late()

    @rule()
    def time_passes(self) -> None:
        self.world.pass_time()

    @rule()
    def somebody_cancels(self) -> None:
        self.world.give(Cancel(self.world.state.saga_id, "enough", f"c{self.world.state.version}"))

    @rule()
    def somebody_sends_a_signal(self) -> None:
        self.world.send()

    @rule()
    def an_operator_holds_or_releases(self) -> None:
        self.world.hold_or_release()

    @rule()
    def an_operator_decides(self) -> None:
        self.world.operate()

    @invariant()
    def what_always_holds(self) -> None:
        check_always(self.world)

    @rule()
    def somebody_asks_what_need_not_make_sense(self) -> None:
        self.world.meddle()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.rng = random.Random(self.world.state.version)
            end(self.world)
            check_ended(self.world)
            check_order(self.world)


WITHOUT_TRACING = tuple(phase for phase in Phase if phase != Phase.explain)
"""Before Python 3.12 tracing makes what fails so slow that the test is cut off before it says what is wrong."""
SagaMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, phases=WITHOUT_TRACING
)
TestAnySaga = SagaMachine.TestCase


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_random_saga_ends_with_its_invariants_intact(trouble: float) -> None:
    for seed in range(60):
        world = play(seed, trouble)
        check_ended(world)
        check_order(world)


def test_without_trouble_every_saga_completes() -> None:
    for seed in range(100):
        rng = random.Random(seed)
        world = World(rng, replace(manifest_of(rng), deadline=None), trouble=0.0)  # pauses would outlast it
        world.start()
        for _ in range(1000):
            if commands := world.commands():
                world.run_command(commands[0])
            elif signals := [wait for wait in world.state.waits.values() if wait.kind == "signal"]:
                world.give(Send(world.state.saga_id, signals[0].step or "", True, f"s{world.state.version}"))
            elif not world.pass_time():
                break
        assert world.state.status == "completed", seed

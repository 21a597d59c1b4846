"""Whatever people ask while outcomes come: no saga is stuck afterwards, and no step both undone and counted."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from amends.testing.virtual import VirtualLoop
from sagas.events import Resolution
from sagas.inputs import Cancel, Correct, Hold, Release, Resolve, Send, TryAgain
from sagas.state import State
from tests.faults.raced import SAGAS, WORLD
from tests.faults.racing import World
from tests.faults.verdicts import check_all, heal

SEEDS = st.integers(0, 2**32)
PLACES: dict[str, list[tuple[str, int | None]]] = {
    "order": [("load", None), ("approval", None), ("labels", 0), ("labels", 1), ("books", None), ("carried", None),
              ("charge", None), ("mail", None), ("note", None)],
    "delivery": [("van", None), ("receipt", None)],
    "simple": [("first", None), ("second", None), ("third", None)],
}  # fmt: skip
VALUES: dict[str, Any] = {"load": {"parcels": 9}, "receipt": {"number": 8}, "carried": {"number": 8}}


class Races(RuleBasedStateMachine):
    """People ask whatever they like whenever they like, while hosts work, stand still, and forget."""

    @initialize(seed=SEEDS, trouble=st.sampled_from((0.0, 0.1, 0.2, 0.8)))
    def begin(self, seed: int, trouble: float) -> None:
        self.chance = random.Random(seed)
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.world = World({saga.name: saga.seal() for saga in SAGAS}, self.chance, trouble)

        async def opened() -> None:
            WORLD.set(self.world)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            self.world.open(loop)
            for saga in SAGAS:
                await self.world.store.put_manifest(saga.seal().manifest)
            await self.started()

        self.runner.run(opened())

    async def started(self) -> None:
        """One more saga."""
        name = self.chance.choice(("order", "order", "simple"))
        value = {"parcels": list(range(self.chance.randint(0, 2))), "gift": self.chance.random() < 0.5}
        saga_id = f"01900000-0000-7000-8000-{int(self.world.new_id('')):012d}"
        await self.world.backend.start(name, value, saga_id=saga_id)

    def ask(self, asking: Coroutine[Any, Any, Any]) -> None:
        """Ask now, and let a moment pass: the answer may come later."""

        async def go() -> None:
            self.world.spawn(asking)
            await self.world.clock.sleep(self.chance.choice((0.0, 0.0, 0.01)))

        self.runner.run(go())

    def some(self) -> State:
        """One of the sagas, as it stands; who is on call looks at those that wait for a person."""
        heads = self.world.store.every()
        desks = [head for head in heads if any(wait.kind == "operator" for wait in head.waits.values())]
        return self.chance.choice(desks if desks and self.chance.random() < 0.6 else heads)

    def told(self, head: State) -> dict[str, Any]:
        """Who asks, why, and perhaps the version that they saw."""
        seen = head.version if self.chance.random() < 0.3 else None
        return {
            "saga_id": head.saga_id, "reason": "because", "request_id": self.world.new_id("r"), "actor": "op",
            "expected": seen,
        }  # fmt: skip

    def place(self, head: State) -> dict[str, Any]:
        """A step of it: one that waits for a person, if there is one and they are not mistaken."""
        desks = [(w.step, w.item) for w in head.waits.values() if w.kind == "operator" and w.step is not None]
        step, item = self.chance.choice(desks if desks and self.chance.random() < 0.8 else PLACES[head.definition])
        return {"step": step, "item": item}

    @rule(seconds=st.sampled_from((0.001, 0.01, 0.3, 0.3, 1.0, 1.0, 5.0, 30.0)))
    def time_passes(self, seconds: float) -> None:
        self.runner.run(self.world.clock.sleep(seconds))

    @rule()
    @precondition(lambda self: len(self.world.store.every()) < 6)
    def somebody_starts_a_saga(self) -> None:
        self.ask(self.started())

    @rule()
    def somebody_sends_a_signal(self) -> None:
        head = self.some()
        told = self.told(head)
        del told["reason"]
        self.ask(self.world.ask(Send(name="approval", value={"by": "Bo"}, **told)))

    @rule()
    def an_operator_holds(self) -> None:
        self.ask(self.world.ask(Hold(**self.told(self.some()))))

    @rule()
    def an_operator_releases(self) -> None:
        self.ask(self.world.ask(Release(**self.told(self.some()))))

    @rule()
    def an_operator_cancels(self) -> None:
        self.ask(self.world.ask(Cancel(**self.told(self.some()))))

    @rule()
    def an_operator_tries_again(self) -> None:
        head = self.some()
        self.ask(self.world.ask(TryAgain(**self.told(head), **self.place(head))))

    @rule()
    def an_operator_corrects(self) -> None:
        head = self.some()
        place = self.place(head)
        value = VALUES.get(place["step"], 5)
        if self.chance.random() < 0.3:
            place, value = {}, {"parcels": [7, 8], "gift": True}
        self.ask(self.world.ask(Correct(**self.told(head), **place, value=value)))

    @rule()
    def an_operator_who_has_looked_says_what_is_true(self) -> None:
        self.ask(self.resolved())

    async def resolved(self) -> None:
        """What is true is true of the version that was seen."""
        head = self.some()
        place = self.place(head)
        key = (head.saga_id, place["step"], place["item"])
        stands = key in self.world.done
        desk = head.wait_of(place["step"], place["item"], "operator")
        outcome: Resolution = "happened" if stands else self.chance.choice(("did_not_happen", "skip"))
        if desk is not None and desk.cause in ("undo_failed", "late_effect"):
            outcome = "undone"
        told: dict[str, Any] = {**self.told(head), **place, "expected": head.version}
        value = VALUES.get(place["step"], 5) if outcome == "happened" else None
        answer = await self.world.ask(Resolve(**told, outcome=outcome, value=value))
        if outcome == "undone" and answer.code in ("accepted", "nothing"):
            self.world.done.discard(key)

    @rule()
    def an_operator_closes_what_rests(self) -> None:
        if self.chance.random() < 0.2:
            self.ask(self.world.ask(Resolve(**self.told(self.some()), outcome="accept")))

    @rule()
    def a_host_stands_still_and_another_comes(self) -> None:
        self.runner.run(self.world.kill())

    @rule()
    def the_streams_are_forgotten(self) -> None:
        self.runner.run(self.world.broker.flush())

    @rule(happened=st.booleans())
    def the_answer_of_a_commit_is_lost(self, happened: bool) -> None:
        self.world.store.lose_next_commit(happened=happened)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return

        async def end() -> None:
            await heal(self.world)
            await check_all(self.world)

        try:
            self.runner.run(end())
        finally:
            self.runner.run(self.world.close())
            self.runner.close()


Races.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestRaces = Races.TestCase

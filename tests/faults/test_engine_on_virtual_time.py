"""Engine, publisher and orchestrator on virtual time, with servers that are slow, full or away at the wrong moment."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.inprocess import Broker, InProcessTransport
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from sagas import events as e
from sagas.inputs import Outcome, Start
from sagas.manifest import Manifest
from sagas.peek import Peek
from sagas.ports import Command, Committed, Move, Published, StoreUnavailable, WaitRow
from sagas.state import State
from sagas.whereabouts import EntryState
from tests.unit.test_decisions import FAILED, SAGA, node

TWIN = SAGA[:-1] + "2"
EPOCH = 1_767_225_600.0
MANIFEST = Manifest(name="m", nodes=(node("a"), node("b", after=("a",))), input="x", input_schema={})
Scene = Callable[["Stage"], Awaitable[None]]
WRITES = (
    "append", "start", "put_payloads", "delivered", "take_unsent", "mark_unsent", "withdraw", "give_back", "confirm",
    "postpone", "set_due", "memory_lost", "prove_writable",
)  # fmt: skip
READS = ("peek", "due", "unpublished", "heads", "now")


class TroubledStore(MemoryStore):
    """Slow or away when it is told to be; its clock may jump."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(lambda: EPOCH + loop.time() + self.jump)
        self.jump = 0.0
        self.before_append = 0.0
        self.after_append = 0.0
        self.before_confirmed = 0.0
        self.failing: dict[str, int] = {}
        self.looks = 0
        self.only_first = False
        self.full = False
        self.away = False
        self.takes = 0.0
        for name in (*READS, *WRITES):
            setattr(self, name, self._there(getattr(self, name), writes=name in WRITES))

    def _there(self, call: Callable[..., Awaitable[Any]], *, writes: bool) -> Callable[..., Awaitable[Any]]:
        """As it is, while the store is not away, nor its disk full."""

        async def tried(*words: Any, **more: Any) -> Any:
            if self.takes:
                await LoopClock().sleep(self.takes)
            if self.away or (writes and self.full):
                raise StoreUnavailable("it is away, or its disk is full")
            return await call(*words, **more)

        return tried

    def _trouble(self, name: str) -> None:
        if self.failing.get(name):
            self.failing[name] -= 1
            raise StoreUnavailable(f"{name} is away")

    async def append(self, moves: Sequence[Move]) -> Committed:
        """Append, slowly; or of several only the first, after which the store is away."""
        self._trouble("append")
        before, self.before_append = self.before_append, 0.0
        await LoopClock().sleep(before)
        if self.only_first:
            self.only_first = False
            self.failing["append"] = 1
            return await super().append(moves[:1])
        committed = await super().append(moves)
        after, self.after_append = self.after_append, 0.0
        await LoopClock().sleep(after)
        return committed

    async def heads(self, saga_ids: Sequence[str]) -> dict[str, State]:
        """The heads, unless it is away."""
        self._trouble("heads")
        return await super().heads(saga_ids)

    async def peek(self) -> Peek:
        """A glance, counted."""
        self.looks += 1
        return await super().peek()

    async def due(self, limit: int, *, commands: bool = True) -> list[WaitRow]:
        """Due waits, unless it is away."""
        self._trouble("due")
        return await super().due(limit, commands=commands)

    async def confirm(self, sent: Sequence[Published]) -> None:
        """Confirm, unless it breaks."""
        if self.failing.get("confirm"):
            self.failing["confirm"] -= 1
            raise RuntimeError("something that nobody thought of")
        await super().confirm(sent)
        before, self.before_confirmed = self.before_confirmed, 0.0
        await LoopClock().sleep(before)

    async def give_back(self, taken: Sequence[WaitRow]) -> None:
        """Give back; the answer may be lost."""
        await super().give_back(taken)
        self._trouble("give_back")


class FullTransport(InProcessTransport):
    """Refuses every write while it is full."""

    refusing = False

    async def publish(self, commands: Sequence[Command], before: float) -> list[str | None]:
        """Publish if there is room."""
        return [None for _ in commands] if self.refusing else await super().publish(commands, before)


class Stage:
    """A store, a broker, and two orchestrators."""

    def __init__(self) -> None:
        self.store = TroubledStore()
        self.broker = Broker()
        self.clock = LoopClock()
        self.sender = FullTransport(self.broker, "o1")
        self.publisher = Publisher(self.store, self.sender, self.clock, 4.0)
        self.engine = Engine(self.store, self.clock, self.publisher)
        self.orchestrator = Orchestrator(self.store, self.sender, self.clock, self.engine, self.publisher)

    def worker(self) -> InProcessTransport:
        """A worker's side of the broker."""
        return InProcessTransport(self.broker, "w")

    async def run(self, seconds: float) -> None:
        """Let the orchestrator work for so long."""
        task = asyncio.create_task(self.orchestrator.run())
        await self.clock.sleep(seconds)
        self.orchestrator.stop()
        await task

    async def tell(self, step: str, kind: str = "succeeded", **more: Any) -> None:
        """An outcome, applied at once."""
        head = (await MemoryStore.heads(self.store, [SAGA]))[SAGA]
        wait = next(wait for wait in head.waits.values() if wait.step == step)
        await self.engine.apply([Outcome(SAGA, wait.opened_by, wait.attempt, step, None, wait.role, kind, **more)])  # type: ignore[arg-type]

    async def unknowns(self, saga_id: str = SAGA) -> list[str]:
        """The causes of unknown outcomes."""
        history = await self.store.history(saga_id)
        return [entry.event.cause for entry in history if isinstance(entry.event, e.StepOutcomeUnknown)]

    def sent(self) -> list[tuple[str, int]]:
        """What stands in the streams: steps and attempts."""
        return [(entry.command.step, entry.command.attempt) for entry in self.broker.entries.values()]


def play(scene: Scene) -> None:
    """Run a scene on virtual time."""

    async def go() -> None:
        stage = Stage()
        await stage.store.put_manifest(MANIFEST)
        await scene(stage)

    run_virtual(go)


def test_a_command_whose_commit_took_too_long_is_left_to_the_sweep() -> None:
    """rule_C1: it may be superseded already."""

    async def scene(stage: Stage, *, before: float, after: float) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        stage.store.before_append, stage.store.after_append = before, after
        await stage.tell("a")
        assert stage.sent() == [("a", 1)]

    play(lambda stage: scene(stage, before=6.0, after=0.0))
    play(lambda stage: scene(stage, before=0.0, after=8.0))


def test_what_is_marked_for_long_goes_out_under_its_own_attempt() -> None:
    """rule_C9: what is being sent is not judged lost."""

    async def joined(stage: Stage) -> None:
        await stage.engine.start_within(Start(SAGA, MANIFEST, None), object())
        await stage.clock.sleep(30)  # a long transaction of the caller
        await stage.run(1.5)
        assert (await stage.unknowns(), stage.sent()) == ([], [("a", 1)])

    async def refused(stage: Stage) -> None:
        stage.sender.refusing = True
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.run(30)
        stage.sender.refusing = False
        again = Orchestrator(stage.store, stage.sender, stage.clock, stage.engine, stage.publisher)
        task = asyncio.create_task(again.run())
        await stage.clock.sleep(3)
        again.stop()
        await task
        assert (await stage.unknowns(), stage.sent()) == ([], [("a", 1)])

    play(joined)
    play(refused)


def test_a_mark_that_was_taken_while_the_store_went_away_is_set_again() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.start_within(Start(SAGA, MANIFEST, None), object())
        stage.store.failing["heads"] = 1
        await stage.run(7)
        assert (await stage.unknowns(), stage.sent()) == ([], [("a", 1)])

    play(scene)


def test_a_mark_is_not_set_again_on_what_another_orchestrator_has_sent() -> None:
    """rule_C1: the answer of giving it back is lost, and another is faster."""

    async def scene(stage: Stage) -> None:
        await stage.engine.start_within(Start(SAGA, MANIFEST, None), object())
        stage.store.failing |= {"heads": 1, "give_back": 1}
        for _ in range(2):
            with suppress(StoreUnavailable):
                await stage.orchestrator.turn()
        await stage.clock.sleep(0.1)
        other = Orchestrator(stage.store, stage.sender, stage.clock, stage.engine, stage.publisher)
        await other.turn()
        assert stage.sent() == [("a", 1)]
        await stage.run(1.5)
        assert stage.sent() == [("a", 1)]

    play(scene)


def test_a_step_that_ends_while_its_check_is_under_way_is_not_judged_lost() -> None:
    """rule_A11: its entry is gone, but its outcome has come since the outcomes were read."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        (entry,) = stage.broker.entries
        await stage.store.confirm([Published(SAGA, 2, entry, -1.0)])
        stage.publisher.forget([(SAGA, 2)])
        worker = InProcessTransport(stage.broker, "w")
        inspect = stage.sender.inspect

        async def ends_just_now(waits: Sequence[WaitRow]) -> list[EntryState]:
            if entry in stage.broker.entries:
                await worker.send([Outcome(SAGA, 2, 1, "a", None, "step", "succeeded")])
                await worker.settle([entry])
            return await inspect(waits)

        stage.sender.inspect = ends_just_now  # type: ignore[method-assign, assignment]
        await stage.run(3)
        assert await stage.unknowns() == []
        assert (await stage.store.heads([SAGA]))[SAGA].step("a").status == "succeeded"

    play(scene)


def test_a_command_is_not_swept_while_another_orchestrator_has_its_outcome_in_hand() -> None:
    """rule_A11: what is handed out and not committed yet is no proof of a loss."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        stage.publisher.forget([(SAGA, 2)])
        await stage.clock.sleep(30)
        worker = InProcessTransport(stage.broker, "w")
        await worker.send([Outcome(SAGA, 2, 1, "a", None, "step", "succeeded")])
        (entry,) = stage.broker.entries
        await worker.settle([entry])
        other = InProcessTransport(stage.broker, "o2")
        arrived = await other.outcomes(10, 0)
        running = asyncio.create_task(stage.run(6))
        await stage.clock.sleep(3)
        assert await stage.unknowns() == []
        await stage.engine.apply([delivery.word for delivery in arrived.deliveries])
        await other.acknowledge([delivery.entry for delivery in arrived.deliveries])
        await running
        assert await stage.unknowns() == []

    play(scene)


def test_publishing_raises_nothing_though_the_store_goes_away_meanwhile() -> None:
    async def scene(stage: Stage) -> None:
        async def away(commands: Sequence[Command], before: float) -> list[str | None]:
            raise StoreUnavailable("while the loss of memory was written down")

        stage.sender.publish = away  # type: ignore[method-assign]
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        assert stage.sent() == []

    play(scene)


def test_a_jump_of_the_databases_clock_loses_no_command_and_spins_no_loop() -> None:
    async def first_command(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        stage.store.jump = 600
        await stage.tell("a")
        await stage.run(3)
        assert await stage.unknowns() == []

    async def timer(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None)])
        await stage.tell("a", "failed", error={**FAILED, "retryable": True})
        stage.store.jump = 3600.0
        await stage.run(30)
        assert (await stage.store.heads([SAGA]))[SAGA].step("a").status == "scheduled"
        assert stage.store.looks < 100

    play(first_command)
    play(timer)


def test_what_an_earlier_round_committed_is_sent_though_the_next_fails() -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None), Start(TWIN, MANIFEST, None)])
        stage.broker.entries.clear()
        stage.store.only_first = True
        words = [Outcome(saga, 2, 1, "a", None, "step", "succeeded") for saga in (SAGA, TWIN)]
        try:
            await stage.engine.apply(words)
        except StoreUnavailable:
            assert stage.sent() == [("b", 1)]
        else:
            raise AssertionError("the second round was to fail")

    play(scene)


def test_a_command_is_not_judged_while_outcomes_lie_unread() -> None:
    """rule_A11: own pending ones come first, and say nothing of what stands behind them."""

    async def scene(stage: Stage) -> None:
        await stage.engine.apply([Start(SAGA, MANIFEST, None), Start(TWIN, MANIFEST, None)])
        entries = {entry.command.saga_id: entry.name for entry in stage.broker.entries.values()}
        await stage.store.confirm([Published(TWIN, 2, entries[TWIN], -1.0)])
        stage.publisher.forget([(TWIN, 2), (SAGA, 2)])
        worker = InProcessTransport(stage.broker, "w")
        await worker.send([Outcome(SAGA, 2, 1, "a", None, "step", "succeeded")])
        await stage.sender.outcomes(1, 0)  # handed out before a restart
        await worker.send([Outcome(TWIN, 2, 1, "a", None, "step", "succeeded")])
        stage.broker.entries.pop(entries[TWIN])
        for _ in range(4):
            await stage.orchestrator.turn()
            await stage.clock.sleep(0.01)
        assert await stage.unknowns(TWIN) == []

    play(scene)


def test_the_same_start_twice_in_a_batch_is_one_saga() -> None:
    async def scene(stage: Stage) -> None:
        word = Start(SAGA, MANIFEST, None)
        answers = await stage.engine.apply([word, word])
        assert [answer.code for answer in answers] == ["created", "known"]
        assert [entry.sequence for entry in await stage.store.history(SAGA)] == [1, 2]

    play(scene)

"""Requests that come together share commits, and otherwise notice nothing of each other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.inprocess import Broker, InProcessTransport
from eventstore.gathering import BATCH
from eventstore.memory import MemoryStore
from orchestrator import commits as module
from orchestrator.commits import Commits
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from sagas.inputs import Answer, Cancel, Start
from sagas.manifest import Manifest
from sagas.ports import Command, Committed, Contended, Move, StoreUnavailable, Unstorable
from sagas.state import State
from tests.unit.test_decisions import node

MANIFEST = Manifest(name="m", nodes=(node("a"),), input="x", input_schema={})
Scene = Callable[["Stage"], Awaitable[None]]


def saga(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


def start(number: int, key: str | None = None, value: Any = "x") -> Start:
    return Start(saga(number), MANIFEST, value, key=key)


class Gated(MemoryStore):
    """Its first commit waits for a gate. `blocked` sagas wait for a lock; `broken` ones cannot be stored."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop().time)
        self.gate = asyncio.Event()
        self.commits: list[int] = []
        self.appended: list[int] = []
        self.away = 0
        self.blocked: set[str] = set()
        self.broken: set[str] = set()
        self.wrong = ""
        self.slow_heads = False

    async def start(self, moves: Sequence[Move], connection: object | None = None) -> Committed:
        """Start, as far as the trouble lets it."""
        met = {move.saga_id for move in moves}
        if met & self.blocked:
            raise Contended("a lock is held")
        if met & self.broken:
            raise Unstorable("no")
        self.commits.append(len(moves))
        await self.gate.wait()
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        if self.wrong in met:
            raise ZeroDivisionError("ours")
        return await super().start(moves, connection)

    async def heads(self, saga_ids: Sequence[str]) -> dict[str, State]:
        """The heads, behind the gate if these are slow."""
        if self.slow_heads:
            await self.gate.wait()
        return await super().heads(saga_ids)

    async def append(self, moves: Sequence[Move]) -> Committed:
        """Append."""
        self.appended.append(len(moves))
        return await super().append(moves)


class Slow(InProcessTransport):
    """Takes an hour to send something."""

    async def publish(self, commands: Sequence[Command], before: float) -> list[str | None]:
        """Send it."""
        await LoopClock().sleep(3600)
        return await super().publish(commands, before)


class Stage:
    """An engine whose commits are shared."""

    def __init__(self) -> None:
        self.store = Gated()
        clock = LoopClock()
        self.broker = Broker()
        publisher = Publisher(self.store, Slow(self.broker, "api"), clock, 4.0)
        self.commits = Commits(Engine(self.store, clock, publisher))

    async def ask(self, word: Any) -> Answer:
        """Ask one thing, as one request does."""
        (answer,) = await self.commits.apply([word])
        return answer

    async def asking(self, *words: Any) -> list["asyncio.Task[Answer]"]:
        """Requests that come while the first is being committed."""
        tasks = [asyncio.create_task(self.ask(words[0]))]
        await passed()
        tasks += [asyncio.create_task(self.ask(word)) for word in words[1:]]
        await passed()
        return tasks


async def passed() -> None:
    """Let everything happen that can."""
    for _ in range(20):
        await LoopClock().sleep(0)


def play(scene: Scene) -> None:
    async def drive() -> None:
        stage = Stage()
        await scene(stage)
        await stage.commits.close()

    run_virtual(drive)


def test_starts_that_come_together_share_commits() -> None:
    async def scene(stage: Stage) -> None:
        asked = await stage.asking(*(start(number, f"k{number}") for number in range(100)))
        stage.store.gate.set()
        answers = await asyncio.gather(*asked)
        assert [(one.code, one.saga_id) for one in answers] == [("created", saga(number)) for number in range(100)]
        assert stage.store.commits == [1, BATCH, 99 - BATCH]
        assert asyncio.get_running_loop().time() == 0.0, "no answer waits for the transport"

    play(scene)


def test_each_start_has_its_own_answer() -> None:
    async def scene(stage: Stage) -> None:
        stage.store.broken = {saga(3)}
        asked = await stage.asking(
            start(0), start(1, "k"), start(2, "k"), start(3), start(4, "k", "other"), start(5), start(0, value="other")
        )
        stage.store.gate.set()
        answers = [await one for one in asked]
        codes = ["created", "created", "known", "refused", "conflict", "created", "conflict"]
        assert [one.code for one in answers] == codes
        assert answers[2].saga_id == saga(1)

    play(scene)


def test_many_starts_under_one_key_are_looked_up_together() -> None:
    async def scene(stage: Stage) -> None:
        asked = await stage.asking(start(0), *(start(number, "k") for number in range(1, 60)), start(0, value="other"))
        stage.store.gate.set()
        _, created, *twins, conflict = [await one for one in asked]
        assert (created.code, conflict.code) == ("created", "conflict")
        assert {(one.code, one.saga_id) for one in twins} == {("known", saga(1))}
        assert stage.store.commits == [1, 2]
        assert asyncio.get_running_loop().time() == 0.0, "none waits for a round of its own"

    play(scene)


def test_what_waits_for_a_lock_holds_neither_its_batch_nor_the_next() -> None:
    async def scene(stage: Stage) -> None:
        stage.store.blocked = {saga(2)}
        stage.store.gate.set()
        _, other, blocked = await stage.asking(start(0), start(1), start(2))
        assert (await other).code == "created"
        assert (await stage.ask(start(3))).code == "created"
        await asyncio.wait([blocked], timeout=60)
        assert not blocked.done()
        stage.store.blocked.clear()
        assert (await blocked).code == "created"

    play(scene)


def test_nobody_tries_again_for_a_caller_who_has_left() -> None:
    async def scene(stage: Stage) -> None:
        stage.store.blocked = {saga(0)}
        (asked,) = await stage.asking(start(0))
        asked.cancel()
        await asyncio.wait([asked])
        await stage.commits.close()
        assert stage.store.known() == []

    play(scene)


def test_a_caller_who_leaves_during_its_commit_leaves_the_others_and_its_saga_alone() -> None:
    async def scene(stage: Stage) -> None:
        first, second, third = await stage.asking(start(0), start(1), start(2))
        first.cancel()
        second.cancel()
        await asyncio.wait([first, second])
        stage.store.gate.set()
        assert (await third).code == "created"
        assert stage.store.known() == [saga(0), saga(2)]

    play(scene)


def test_while_the_store_is_away_all_of_the_batch_are_told_and_may_ask_again() -> None:
    async def scene(stage: Stage) -> None:
        words = [start(number, f"k{number}") for number in range(5)]
        asked = await stage.asking(*words)
        stage.store.away = 2
        stage.store.gate.set()
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in told] == [StoreUnavailable] * 5
        assert stage.store.known() == []
        assert [(await stage.ask(word)).code for word in words] == ["created"] * 5

    play(scene)


@pytest.mark.parametrize("happened", [True, False])
def test_rule_a7_a_lost_answer_is_looked_for_for_each(happened: bool) -> None:
    async def scene(stage: Stage) -> None:
        asked = await stage.asking(*(start(number, f"k{number}") for number in range(4)))
        stage.store.lose_next_commit(happened=happened)
        stage.store.gate.set()
        assert [(await one).code for one in asked] == ["created"] * 4
        assert len(stage.store.known()) == 4

    play(scene)


def test_a_failure_that_is_ours_is_told_to_its_caller_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []

    def note(text: str, *values: object) -> None:
        noted.append(text % values)

    monkeypatch.setattr(module.log, "exception", note)

    async def scene(stage: Stage) -> None:
        stage.store.wrong = saga(2)
        asked = await stage.asking(*(start(number) for number in range(4)))
        stage.store.gate.set()
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert [getattr(one, "code", type(one)) for one in told] == [
            "created", "created", ZeroDivisionError, "created"
        ]  # fmt: skip

    play(scene)
    assert noted == ["one of 3 requests cannot be applied: each is applied alone"]


def test_rule_a2_what_is_asked_of_sagas_shares_commits_of_its_own() -> None:
    async def scene(stage: Stage) -> None:
        store = stage.store
        store.gate.set()
        await stage.commits.apply([start(number) for number in range(4)])
        store.gate, store.slow_heads = asyncio.Event(), True
        words = [Cancel(saga(number), "so", f"c{number}", actor="ada") for number in (0, 1, 2, 3, 3)]
        asked = await stage.asking(*words)
        beside = asyncio.create_task(stage.ask(start(9)))
        await passed()
        assert store.commits == [4, 1], "a start does not wait for them"
        store.gate.set()
        assert [(await one).code for one in asked] == ["accepted"] * 4 + ["nothing"]
        assert store.appended == [1, 3]
        assert (await beside).code == "created"

    play(scene)

"""Starts in transactions of others, simulated: who wants the same saga waits, and finds what became of it (A4)."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from amends.clock import LoopClock
from amends.testing.simulator import batch
from amends.testing.simulator.callers import CallersTransaction, Changes
from amends.testing.simulator.database import EPOCH, Database, store_of
from amends.testing.simulator.hosts import Host, SimulatedLoop, close_all
from amends.testing.simulator.network import Link
from amends.testing.simulator.owed import Messages
from amends.testing.simulator.stored import CheckedStore
from consumers.wire import Disconnected
from orchestrator.engine import Engine
from sagas.inputs import Start

CLOCK = LoopClock()


class Callers:
    """Two callers, each with a way of its own to one database, who want a saga of one key."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.failed: list[str] = []
        self.changes = Changes(self._fail)
        self.store = CheckedStore(lambda: EPOCH + loop.now, lambda _: None, Messages(self._fail, lambda _: None))
        self.database = Database(loop, self.store, Random(1))
        self.links = [Link(loop, Host(f"api{number}", Random(number), loop), Random(number)) for number in (1, 2)]
        sealed = batch.sagas_of([])[0].seal()
        value = sealed.normalise({"items": [], "flag": True, "moment": "2026-01-01T00:00:01Z"})
        self.words = [
            Start(f"01900000-0000-7000-8000-00000000000{number}", sealed.manifest, value, key="k") for number in (1, 2)
        ]

    def _fail(self, rule: str, where: str, detail: str) -> None:
        self.failed.append(detail)

    def begin(self, number: int) -> CallersTransaction:
        return CallersTransaction(self.database, self.links[number], self.changes)

    async def start(self, number: int, transaction: CallersTransaction) -> tuple[str, str]:
        answer = await self._engine(number).start_within(self.words[number], transaction)
        return answer.code, answer.saga_id

    async def start_alone(self, number: int) -> tuple[str, str]:
        (answer,) = await self._engine(number).apply([self.words[number]])
        return answer.code, answer.saga_id

    def _engine(self, number: int) -> Engine:
        return Engine(store_of(self.database, self.links[number]), CLOCK)


def play(scene: Callable[[Callers], Awaitable[None]]) -> Callers:
    """Have a scene happen, on virtual time."""
    loop = SimulatedLoop()
    callers = Callers(loop)
    try:
        loop.run_until_complete(scene(callers))
    finally:
        close_all(loop)
        loop.close()
    callers.changes.finish(callers.store.known())
    return callers


def test_who_waits_for_a_start_that_is_rolled_back_starts_the_saga() -> None:
    async def scene(callers: Callers) -> None:
        first = callers.begin(0)
        assert (await callers.start(0, first))[0] == "created"
        second = asyncio.ensure_future(callers.start_alone(1))
        await CLOCK.sleep(1.0)
        assert not second.done()
        first.close()
        assert await second == ("created", callers.words[1].saga_id)

    assert play(scene).store.known() == [callers_id(1)]


def test_who_waits_for_a_start_that_commits_is_told_of_it() -> None:
    async def scene(callers: Callers) -> None:
        first, second = callers.begin(0), callers.begin(1)
        _, saga_id = await callers.start(0, first)
        waiting = asyncio.ensure_future(callers.start(1, second))
        await CLOCK.sleep(1.0)
        assert callers.store.known() == [], "nobody sees it before the commit"
        await first.commit(saga_id)
        assert await waiting == ("known", saga_id)
        await second.commit(saga_id)

    assert play(scene).failed == []


def test_a_transaction_whose_connection_breaks_is_rolled_back() -> None:
    async def scene(callers: Callers) -> None:
        first = callers.begin(0)
        _, saga_id = await callers.start(0, first)
        callers.links[0].cut()
        assert (await callers.start_alone(1))[0] == "created"
        with pytest.raises(Disconnected):
            await first.commit(saga_id)

    assert play(scene).store.known() == [callers_id(1)]


def test_a_commit_whose_answer_is_lost_is_found_by_the_next_start() -> None:
    async def scene(callers: Callers) -> None:
        first, again = callers.begin(0), callers.begin(1)
        _, saga_id = await callers.start(0, first)
        callers.links[0].lose_answers = 1
        with pytest.raises(Disconnected):
            await first.commit(saga_id)
        assert await callers.start(1, again) == ("known", saga_id)
        again.close()

    assert play(scene).failed == []


def test_a_saga_without_its_change_and_a_change_without_its_saga_are_told() -> None:
    told: list[str] = []
    changes = Changes(lambda rule, where, detail: told.append(where))
    for saga_id in ("a", "b"):
        changes.want(saga_id)
    changes.began("a")
    changes.make("b")
    changes.finish(["a"])
    assert told == ["a", "b"]


def callers_id(number: int) -> str:
    """The id that this caller gives its saga."""
    return f"01900000-0000-7000-8000-00000000000{number + 1}"

"""Heads that an engine remembers, and decisions on them (rule A8)."""

import copy
from typing import Any

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from eventstore.memory import MemoryStore
from orchestrator import remembered as module
from orchestrator.engine import Engine
from orchestrator.remembered import Remembered
from sagas.events import Recorded
from sagas.inputs import Answer, Hold, Outcome, Release, Start
from sagas.manifest import Manifest
from sagas.ports import WaitRow
from sagas.state import PENDING, State
from tests.unit.test_decisions import node

SAGA = "01900000-0000-7000-8000-000000000001"
MANIFEST = Manifest(
    name="pair", nodes=(node("a"), node("b", after=("a",)), node("c", after=("b",))), input="None", input_schema={}
)


class Store(MemoryStore):
    """Counts what is read."""

    reads = 0

    async def heads(self, saga_ids: Any) -> dict[str, State]:
        self.reads += len(saga_ids)
        return await super().heads(saga_ids)

    def put_back(self, before: State, history: list[Recorded], rows: list[WaitRow]) -> None:
        """As a standby that lacks what was committed last takes the place of a server."""
        self._heads[SAGA] = before
        self._events[SAGA] = history
        self._waits = {(SAGA, row.opened_by): row for row in rows}


def outcome(step: str, opened_by: int) -> Outcome:
    return Outcome(SAGA, opened_by, 1, step, None, "step", "succeeded", None)


async def started() -> tuple[Store, Engine, Engine]:
    store = Store(LoopClock().monotonic)
    one, other = Engine(store, LoopClock()), Engine(store, LoopClock())
    await store.put_manifest(MANIFEST)
    await one.apply([Start(SAGA, MANIFEST, None)])
    return store, one, other


async def tell(engine: Engine, step: str, opened_by: int) -> Answer:
    (answer,) = await engine.apply([outcome(step, opened_by)])
    return answer


def test_what_this_engine_moved_last_is_not_read_again() -> None:
    async def drive() -> None:
        store, engine, _ = await started()
        assert (await tell(engine, "a", 2)).code == "accepted"
        reads = store.reads
        assert (await tell(engine, "b", 4)).code == "accepted"
        assert (await tell(engine, "c", 6)).status == "completed"
        assert store.reads == reads

    run_virtual(drive)


def test_what_another_engine_has_moved_meanwhile_is_decided_on_what_is_there_now() -> None:
    async def drive() -> None:
        store, engine, other = await started()
        await tell(engine, "a", 2)
        assert (await tell(other, "b", 4)).code == "accepted"
        assert (await tell(engine, "c", 6)).status == "completed", "the version guard refuses what was remembered"
        assert [type(entry.event).__name__ for entry in await store.history(SAGA)][-1] == "SagaCompleted"

    run_virtual(drive)


def test_an_answer_that_changes_nothing_comes_from_a_head_that_was_read_for_it() -> None:
    async def drive() -> None:
        store, engine, other = await started()
        await tell(engine, "a", 2)
        await tell(other, "b", 4)
        reads = store.reads
        answer = await tell(engine, "a", 2)
        assert (answer.code, answer.version) == ("nothing", store.head(SAGA).version)
        assert store.reads > reads

    run_virtual(drive)


def test_a_store_that_came_back_without_the_last_commits_is_decided_on_as_it_is_now() -> None:
    """Nobody told this engine: its connections were idle, and made anew without an error."""

    async def drive() -> None:
        store, engine, other = await started()
        before = copy.copy(store.head(SAGA)), await store.history(SAGA), store.rows_of(SAGA)
        assert (await tell(engine, "a", 2)).version == 4
        store.put_back(*before)
        await LoopClock().sleep(module.KEPT_SECONDS + 0.1)
        await other.apply([Hold(SAGA, "not yet", "h"), Release(SAGA, "now", "r")])
        assert store.head(SAGA).version == 4, "as before, by other events"
        await engine.apply([Hold(SAGA, "once more", "h2")])
        assert store.head(SAGA).steps["a", None].status == "scheduled", "as its history has it"

    run_virtual(drive)


def head(number: int, status: Any = "active") -> State:
    return State(saga_id=str(number), status=status, version=1)


def test_what_has_ended_is_not_remembered_and_the_oldest_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS_MAX", 2)
    heads = Remembered()
    for number in range(3):
        heads.keep(head(number), 0.0)
    assert heads.of(["0", "1", "2"], 0.0).keys() == {"1", "2"}
    heads.keep(head(2, "completed"), 0.0)
    assert heads.of(["1", "2"], 0.0).keys() == {"1"}
    assert heads.of(["1"], module.KEPT_SECONDS + 0.1) == {}


def test_one_with_many_items_takes_the_place_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS_MAX", 10)
    heads = Remembered()
    many = State(saga_id="many", version=1, steps={("a", item): PENDING for item in range(8)})
    for one in (head(1), head(2), many, many):
        heads.keep(one, 0.0)
    assert heads.of(["1", "2", "many"], 0.0).keys() == {"2", "many"}
    heads.forget(["many"])
    for number in range(3, 12):
        heads.keep(head(number), 0.0)
    assert heads.of(map(str, range(12)), 0.0).keys() == set(map(str, range(2, 12)))


def test_where_others_move_the_same_sagas_nothing_is_remembered_for_a_while() -> None:
    heads = Remembered()
    heads.keep(head(1), 0.0)
    heads.learn(module.TRIED_MIN, module.TRIED_MIN // 2, 100.0)
    heads.keep(head(2), 100.0 + module.PAUSE_SECONDS - 0.1)
    assert heads.of(["1", "2"], 100.0 + module.PAUSE_SECONDS) == {}
    heads.keep(head(3), 100.0 + module.PAUSE_SECONDS + 0.1)
    assert heads.of(["3"], 100.0 + module.PAUSE_SECONDS + 0.1).keys() == {"3"}


def test_a_few_races_are_no_reason_to_forget() -> None:
    heads = Remembered()
    heads.keep(head(1), 0.0)
    heads.learn(module.TRIED_MIN, 3, 0.0)
    assert heads.of(["1"], 0.0).keys() == {"1"}

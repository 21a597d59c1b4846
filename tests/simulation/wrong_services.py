"""Planted bugs in the services: engine, publisher, worker, reconciler, store and streams."""

# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false
# What is planted replaces what nobody else may touch.
import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, cast

import amends.testing.simulator.transactions as transactions
from amends.testing.simulator.callers import CallersTransaction
from consumers.stream import RedisStreams
from consumers.worker import Worker
from eventstore.memory import MemoryStore
from orchestrator.engine import Applied, Engine
from orchestrator.messages import Messages
from orchestrator.publisher import Publisher
from orchestrator.timers import Timers
from reconciler.checks import waits_overdue
from reconciler.cycle import Reconciler
from reconciler.evidence import StaleWait
from sagas.inputs import Answer, Due, Start
from sagas.peek import Peek
from sagas.ports import Committed, CommitUnknown, Move, Store, WaitRow
from sagas.state import COMMAND_KINDS, State, Waiting
from tests.simulation.bugs import Patch, bug


@bug("C5")
def outcomes_are_acknowledged_before_their_commit(patch: Patch) -> None:
    read = RedisStreams.outcomes

    async def outcomes(self: RedisStreams, count: int, block: float) -> Any:
        arrivals = await read(self, count, block)
        if arrivals.deliveries:
            await self.acknowledge([delivery.entry for delivery in arrivals.deliveries])
        return arrivals

    patch.setattr(RedisStreams, "outcomes", outcomes)


@bug("8")
def no_version_guard(patch: Patch) -> None:
    async def append(self: MemoryStore, moves: Sequence[Move]) -> Committed:
        return self._commit(moves)

    patch.setattr(MemoryStore, "append", append)


@bug("A3")
def who_comes_too_late_leaves_its_message(patch: Patch) -> None:
    append = MemoryStore.append

    async def generous(self: MemoryStore, moves: Sequence[Move]) -> Committed:
        late = [move for move in moves if move.expected_version != self._version(move.saga_id)]
        self.outbox += [(move.saga_id, row) for move in late for row in move.outbox]
        return await append(self, moves)

    patch.setattr(MemoryStore, "append", generous)


@bug("A12")
def the_feeds_cursor_is_the_position_alone(patch: Patch) -> None:
    async def feed(self: MemoryStore, after: tuple[int, int], limit: int = 500) -> Any:
        places = sorted((place for place in self._feed if place[1] > after[1]), key=lambda place: place[1])
        return [(place, *self._feed[place]) for place in places[:limit]]

    patch.setattr(MemoryStore, "feed", feed)


@bug("9")
def a_takeover_runs_the_handler(patch: Patch) -> None:
    async def judge(self: Worker, deliveries: Sequence[Any]) -> None:
        for delivery in deliveries:
            self._begin(delivery, asyncio.get_running_loop())

    patch.setattr(Worker, "_judge_lost", judge)


@bug("C3", "9")
def stale_entries_run(patch: Patch) -> None:
    patch.setattr(Worker, "_is_fresh", lambda self, delivery: True)


class _OldHeads:
    """A store whose heads are those that this process has seen first, as long as its appends go in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, State] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def heads(self, saga_ids: Sequence[str]) -> dict[str, State]:
        missing = [saga_id for saga_id in saga_ids if saga_id not in self._seen]
        if missing:
            self._seen |= await self._store.heads(missing)
        return {saga_id: self._seen[saga_id] for saga_id in saga_ids if saga_id in self._seen}

    async def append(self, moves: Sequence[Move]) -> Committed:
        for move in moves:
            self._seen.pop(move.saga_id, None)
        committed = await self._store.append(moves)
        self._seen |= {move.saga_id: move.state for move in moves if move.saga_id in committed.moved}
        return committed


@bug("C5", "O4", "1")
def a_no_op_is_decided_on_a_stale_head(patch: Patch) -> None:
    init = Engine.__init__

    def cached(self: Engine, store: Any, *arguments: Any, **more: Any) -> None:
        init(self, cast("Store", _OldHeads(store)), *arguments, **more)

    patch.setattr(Engine, "__init__", cached)


@bug("3")
def the_key_stays_open_after_the_undo(patch: Patch) -> None:
    patch.setattr(transactions, "keys_to_close", lambda command: ())


def _but_retries(fires: Callable[[MemoryStore, WaitRow], bool]) -> Callable[[MemoryStore, WaitRow], bool]:
    return lambda store, row: row.kind != "retry" and fires(store, row)


@bug("1")
def retries_are_timers_in_memory(patch: Patch) -> None:
    fires = MemoryStore._fires
    patch.setattr(MemoryStore, "_fires", _but_retries(fires))
    append = Engine.append

    async def appended(self: Engine, inputs: Sequence[Any]) -> Applied:
        applied = await append(self, inputs)
        loop = asyncio.get_running_loop()
        for _, move in applied.moves:
            for row in move.waits_new:
                if row.kind == "retry":
                    later = max(row.due_at - row.since, 0.0) + 0.01
                    due = Due(row.saga_id, row.opened_by)
                    loop.call_later(later, partial(_begin, self, due))
        return applied

    patch.setattr(Engine, "append", appended)


def _begin(engine: Engine, due: Due) -> None:
    asyncio.get_running_loop().create_task(engine.apply([due]))


@bug("11")
def starts_are_answered_before_their_commit(patch: Patch) -> None:
    apply = Engine.apply

    async def hasty(self: Engine, inputs: Sequence[Any]) -> list[Answer]:
        if all(isinstance(word, Start) and word.parent is None for word in inputs):
            self.hurried = asyncio.get_running_loop().create_task(apply(self, inputs))  # type: ignore[attr-defined]
            return [Answer("created", word.saga_id, 1) for word in inputs]
        return await apply(self, inputs)

    patch.setattr(Engine, "apply", hasty)


@bug("1")
def commands_are_confirmed_by_the_append(patch: Patch) -> None:
    apply = MemoryStore._apply

    def applied(self: MemoryStore, move: Move) -> None:
        rows = tuple(
            replace(row, published_at=row.since) if row.kind in COMMAND_KINDS and not row.unsent else row
            for row in move.waits_new
        )
        apply(self, replace(move, waits_new=rows))

    patch.setattr(MemoryStore, "_apply", applied)


@bug("20", "A11")
def the_reconciler_repairs_what_lives(patch: Patch) -> None:
    async def all_of_them(self: Reconciler, judged: Sequence[StaleWait]) -> set[Waiting]:
        return {(wait.saga_id, wait.opened_by) for wait in judged}

    patch.setattr(waits_overdue, "GRACE_SECONDS", -60.0)
    patch.setattr(waits_overdue, "COMMAND_SECONDS", -inf)
    patch.setattr(Reconciler, "_lost", all_of_them)


@bug("9")
def the_sweep_sends_the_same_attempt_again(patch: Patch) -> None:
    async def again(self: Timers, peek: Peek) -> Sequence[WaitRow]:
        rows = await self._store.unpublished(5.0, 500)
        await self._store.mark_unsent([(row.saga_id, row.opened_by) for row in rows])
        return ()

    patch.setattr(Timers, "_unconfirmed", again)


@bug("9")
def own_pending_commands_run_after_a_restart(patch: Patch) -> None:
    async def opened(self: Worker) -> None:
        await self._receiver.open(self.queues)
        for delivery in await self._receiver.own_pending():
            self._begin(delivery, asyncio.get_running_loop())

    patch.setattr(Worker, "_open", opened)


@bug("9")
def entries_of_another_memory_run(patch: Patch) -> None:
    deliveries = RedisStreams._deliveries

    async def current(self: RedisStreams, *arguments: Any, **more: Any) -> Any:
        return [replace(one, current=True) for one in await deliveries(self, *arguments, **more)]

    patch.setattr(RedisStreams, "_deliveries", current)


@bug("A1")
def redelivered_outcomes_are_taken_for_news(patch: Patch) -> None:
    async def none(self: Engine, *arguments: Any) -> set[tuple[str, str]]:
        return set()

    patch.setattr(Engine, "_seen", none)


@bug("11", "C5")
def a_lost_answer_is_taken_for_a_commit(patch: Patch) -> None:
    commit = Engine._commit

    async def trusting(self: Engine, work: Any, by_saga: Any, moves: Sequence[Move]) -> frozenset[str]:
        store = self.store

        class Trusting:
            async def append(self, moves: Sequence[Move]) -> Committed:
                try:
                    return await store.append(moves)
                except CommitUnknown:
                    return Committed(frozenset(move.saga_id for move in moves), await store.now())

        self.store = Trusting()  # type: ignore[assignment]
        try:
            return await commit(self, work, by_saga, moves)
        finally:
            self.store = store

    patch.setattr(Engine, "_commit", trusting)


@bug("1", "18")
def messages_come_in_any_order(patch: Patch) -> None:
    words = Messages.words

    async def last_first(self: Messages, rows: Sequence[WaitRow]) -> Any:
        """The last that a saga has to say is told first; the others come with the next look."""
        return await words(self, list({row.saga_id: row for row in sorted(rows, key=_place)}.values()))

    def fires(self: MemoryStore, row: WaitRow) -> bool:
        return not (row.unsent or row.kind == "operator" or self._left_alone(row))

    patch.setattr(MemoryStore, "_fires", fires)
    patch.setattr(Messages, "words", last_first)


def _place(row: WaitRow) -> int:
    return row.opened_by


@bug("C1")
def old_commands_are_sent(patch: Patch) -> None:
    publish = Publisher.publish

    async def whenever(self: Publisher, commands: Sequence[Any], decided_at: float) -> None:
        await publish(self, commands, inf)

    patch.setattr(Publisher, "publish", whenever)


@bug("20")
def the_living_are_taken_over(patch: Patch) -> None:
    idle = RedisStreams.idle

    async def hasty(self: RedisStreams, idle_seconds: float, count: int) -> Any:
        return await idle(self, 0.2, count)

    patch.setattr(RedisStreams, "idle", hasty)


@bug("A11")
def waits_are_judged_while_outcomes_lie_unread(patch: Patch) -> None:
    async def sure(self: Timers, found: Sequence[Any]) -> list[Any]:
        return list(found)

    patch.setattr(Timers, "_without_outcome", sure)


@bug("1")
def marked_commands_are_never_sent(patch: Patch) -> None:
    async def none(self: MemoryStore, limit: int, *more: Any) -> list[Any]:
        return []

    patch.setattr(MemoryStore, "take_unsent", none)


@bug("7")
def a_transaction_step_commits_twice(patch: Patch) -> None:
    patch.setattr(transactions.SimulatedTransactions, "_known", lambda self, key: None)


@bug("9")
def commands_are_sent_before_the_commit(patch: Patch) -> None:
    commit = Engine._commit

    async def eager(self: Engine, work: Any, by_saga: Any, moves: Sequence[Move]) -> None:
        final = {move.saga_id: move.state for move in moves}
        await self._publish(moves, final, self._clock.monotonic())
        await commit(self, work, by_saga, moves)

    patch.setattr(Engine, "_commit", eager)


@bug("R23")
def one_key_starts_two_sagas(patch: Patch) -> None:
    async def start(self: MemoryStore, moves: Sequence[Move], connection: object | None = None) -> Committed:
        return self._commit([move for move in moves if not self._version(move.saga_id)])

    patch.setattr(MemoryStore, "start", start)


@bug("A4")
def a_joined_start_commits_by_itself(patch: Patch) -> None:
    start = MemoryStore.start

    async def insert(self: CallersTransaction, moves: Sequence[Move]) -> Committed:
        return await start(self._database.store, moves)

    patch.setattr(CallersTransaction, "insert", insert)


@bug("20")
def confirms_are_forgotten(patch: Patch) -> None:
    async def nothing(self: Publisher, age_seconds: float = 1.0) -> float:
        self._unconfirmed.clear()
        return 1.0

    patch.setattr(Publisher, "confirm", nothing)

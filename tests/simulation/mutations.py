"""Earlier wordings of the protocol, and mutations of it, for the schedules that forced them.

The planted bugs beside them are looked for by seeds; of these only the schedules must find something.
"""

# pyright: reportPrivateUsage=false
# What is broken here is private.

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orchestrator.waits
import sagas.compensation
import sagas.decide
import sagas.family
import sagas.forward
import sagas.late
import sagas.messages
import sagas.requests
from consumers.memory_server import MemoryServer
from consumers.memory_streams import Group, Stream
from consumers.reports import Reports
from consumers.stream import RedisStreams
from consumers.worker import Worker
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from orchestrator.service import Orchestrator
from orchestrator.timers import Timers
from sagas import events as e
from sagas.draft import Draft
from sagas.inputs import ChildEnds, Outcome
from sagas.manifest import Manifest, Node
from sagas.peek import Peek
from sagas.ports import Claim, Move, Unstorable, WaitRow
from sagas.state import State, StepState
from sagas.whereabouts import GONE, EntryState
from tests.simulation.bugs import Bug, Patch

MUTATIONS: dict[str, Bug] = {}


def mutation(plant: Bug) -> Bug:
    """Enter a mutation by its name."""
    MUTATIONS[plant.__name__.replace("_", " ")] = plant
    return plant


@mutation
def late_words_go_into_the_stream_alone(patch: Patch) -> None:
    settle = RedisStreams.settle

    async def settled(self: RedisStreams, entries: Sequence[str]) -> list[bool]:
        await settle(self, entries)
        return [True for _ in entries]

    async def nothing(self: Reports, incarnation: str) -> None:
        self._lately.clear()

    patch.setattr(RedisStreams, "settle", settled)
    patch.setattr(Reports, "recover", nothing)


@mutation
def due_at_is_a_verdict(patch: Patch) -> None:
    async def gone(self: RedisStreams, waits: Sequence[WaitRow]) -> list[EntryState]:
        return [GONE for _ in waits]

    async def sure(self: Timers, found: Sequence[Any]) -> list[Any]:
        return list(found)

    patch.setattr(RedisStreams, "inspect", gone)
    patch.setattr(Timers, "_without_outcome", sure)


@mutation
def any_undo_ends_the_step(patch: Patch) -> None:
    def undone(draft: Draft, node: Node, word: Outcome) -> None:
        if word.kind == "succeeded" and draft.step(node, word.item).status in ("undoing", "undo_failed"):
            draft.emit(e.StepUndone(step=node.name, item=word.item, attempt=word.attempt))

    patch.setattr(sagas.late, "_late_undo", undone)


@mutation
def undone_when_what_is_next_to_it_is_settled(patch: Patch) -> None:
    def next_to(self: Manifest) -> dict[str, frozenset[str]]:
        return {
            node.name: frozenset(other.name for other in self.nodes if node.name in other.after) for node in self.nodes
        }

    patch.setattr(Manifest, "descendants", property(next_to))


@mutation
def dependencies_are_ignored(patch: Patch) -> None:
    advance = sagas.forward.advance

    def hasty(draft: Draft) -> None:
        for node in draft.manifest.nodes:
            if node.kind == "step" and draft.state.status == "active" and draft.step(node, None).status == "pending":
                draft.emit(e.StepScheduled(step=node.name, attempt=1))
        advance(draft)

    patch.setattr(sagas.decide, "advance", hasty)


@mutation
def who_takes_a_mark_leaves_its_age(patch: Patch) -> None:
    take = MemoryStore.take_unsent

    async def taken(self: MemoryStore, limit: int, *more: Any) -> list[WaitRow]:
        before = dict(self._waits)
        rows = await take(self, limit, *more)
        for row in rows:
            key = (row.saga_id, row.opened_by)
            self._waits[key] = replace(row, since=before[key].since)
        return rows

    patch.setattr(MemoryStore, "take_unsent", taken)


@mutation
def marks_of_held_sagas_are_taken(patch: Patch) -> None:
    take, peek = MemoryStore.take_unsent, MemoryStore.peek

    @contextmanager
    def released(store: MemoryStore) -> Generator[None]:
        heads = store._heads
        store._heads = {saga_id: replace(head, held=False) for saga_id, head in heads.items()}
        try:
            yield
        finally:
            store._heads = heads

    async def taken(self: MemoryStore, limit: int, *more: Any) -> list[WaitRow]:
        with released(self):
            return await take(self, limit, *more)

    async def seen(self: MemoryStore) -> Peek:
        with released(self):
            return await peek(self)

    patch.setattr(MemoryStore, "take_unsent", taken)
    patch.setattr(MemoryStore, "peek", seen)


@mutation
def queued_commands_of_held_sagas_are_dropped(patch: Patch) -> None:
    claims = MemoryStore.claims

    async def unheld(self: MemoryStore, waits: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Claim]:
        return {key: claim for key, claim in (await claims(self, waits)).items() if not claim.held}

    patch.setattr(MemoryStore, "claims", unheld)


@mutation
def what_was_never_entered_is_run_though_it_was_refused(patch: Patch) -> None:
    async def again(self: Worker) -> None:
        for delivery in await self._receiver.own_pending():
            if delivery.entry not in self._running:
                self._put_ahead(delivery)

    patch.setattr(Worker, "_read_again", again)


@mutation
def the_end_of_a_child_is_news_each_time(patch: Patch) -> None:
    def ends(draft: Draft, word: ChildEnds) -> None:
        sagas.messages._ended(draft, draft.manifest.by_name[word.step], word)

    patch.setattr(sagas.decide, "child_ends", ends)


@mutation
def a_child_has_one_id_for_all_its_attempts(patch: Patch) -> None:
    child_id = sagas.family.child_id

    def one_id(parent: str, step: str, attempt: int) -> str:
        return child_id(parent, step, 1)

    patch.setattr(sagas.forward, "child_id", one_id)


@mutation
def a_child_that_is_closed_tells_nobody(patch: Patch) -> None:
    is_message = orchestrator.waits.is_message

    def unless_closed(manifest: Manifest, state: State, event: e.Event) -> bool:
        return not isinstance(event, e.StepResolved) and is_message(manifest, state, event)

    patch.setattr(orchestrator.waits, "is_message", unless_closed)


@mutation
def a_pivot_is_in_flight_until_it_is_known(patch: Patch) -> None:
    def back(draft: Draft, cause: str, reason: str) -> None:
        pivot = draft.manifest.pivot
        if pivot is None or draft.state.step(pivot.name).status == "pending":
            sagas.compensation.turn_back(draft, cause, reason)

    patch.setattr(sagas.requests, "want_back", back)


@mutation
def what_is_reopened_takes_its_key_back(patch: Patch) -> None:
    apply = MemoryStore._apply

    def applied(self: MemoryStore, move: Move) -> None:
        holder = self._keys.get((move.state.definition, move.state.key or ""), move.saga_id)
        reopened = any(isinstance(entry.event, e.SagaReopened) for entry in move.events)
        if reopened and holder != move.saga_id:
            raise Unstorable("another saga has the key")
        apply(self, move)

    patch.setattr(MemoryStore, "_apply", applied)


@mutation
def what_was_handed_out_with_a_lost_answer_is_left(patch: Patch) -> None:
    async def nothing(self: Worker) -> None: ...

    patch.setattr(Worker, "_read_again", nothing)


@mutation
def a_group_that_is_made_anew_hands_everything_out(patch: Patch) -> None:
    def made(self: MemoryServer, key: str, grouped: str, group: str) -> int:
        stream = self._memory.streams.setdefault(key, Stream())
        stream.groups.setdefault(group, Group())
        return 1

    patch.setattr(MemoryServer, "_make_group", made)


@mutation
def a_failed_transaction_step_is_not_undone(patch: Patch) -> None:
    needs_undo = sagas.compensation.needs_undo

    def unless_failed(node: Node, step: StepState) -> bool:
        return step.status != "failed" and needs_undo(node, step)

    patch.setattr(sagas.compensation, "needs_undo", unless_failed)


@mutation
def the_hold_moves_no_rows(patch: Patch) -> None:
    async def nothing(self: Any, rows: object) -> None: ...

    patch.setattr(Engine, "_set_due", nothing)
    patch.setattr(Orchestrator, "_move_on", nothing)


@mutation
def threads_that_were_given_up_say_nothing(patch: Patch) -> None:
    def nothing(self: Worker, *thread: object) -> None: ...

    patch.setattr(Worker, "_left_running", nothing)

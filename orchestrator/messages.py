"""What sagas owe one another becomes the input of who is to hear it (rule B5).

A message is a wait of its sender, written by the sender's commit. It is applied to the receiver, and goes when that is
committed: so it comes at least once, and in order.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from orchestrator.arguments import Plan, compose, plan_at, plan_of_result
from orchestrator.engine import Engine
from sagas import events as e
from sagas.events import Event, Json, Recorded
from sagas.inputs import Answer, ChildEnds, Input, ParentTurnsBack, Start
from sagas.manifest import Manifest
from sagas.migrating import is_one_way
from sagas.ports import Store, WaitRow
from sagas.records import record
from sagas.state import Parent, State, Value

log = logging.getLogger("amends.messages")

UNKNOWN_SECONDS = 10.0
Letter = tuple[WaitRow, Input]
"""A message, and what its receiver is to be told."""
STATUSES: Mapping[type[Event], str] = {
    e.SagaCompleted: "completed",
    e.SagaCompensated: "compensated",
    e.StepResolved: "closed",
}


@record
class _Draft:
    """A message that needs the value behind `plan`, if any, to become its receiver's input."""

    row: WaitRow
    head: State
    make: Callable[[Json], Input]
    plan: Plan | None = None


class Messages:
    """Reads what is owed, with the manifests and values that the engine remembers."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine

    async def words(self, rows: Sequence[WaitRow]) -> list[Letter]:
        """Messages that are due, each with what its receiver is to be told."""
        if not rows:
            return []
        heads = await self._store.heads(sorted({row.saga_id for row in rows}))
        manifests = await self._engine.manifests(list(heads.values()))
        entries = await self._store.events_at([(row.saga_id, row.opened_by) for row in rows])
        starts = [entry.event for entry in entries.values() if isinstance(entry.event, e.ChildStarted)]
        children = {found.name: found for found in (await self._store.manifests()).values()} if starts else {}
        with_pivot = {found.name for found in children.values() if found.pivot is not None}
        doubtful = [event.child_id for event in starts if event.definition in with_pivot]
        begun = (await self._store.heads(doubtful)).keys() if doubtful else ()
        drafts: list[_Draft] = []
        for row in rows:
            head, entry = heads[row.saga_id], entries[row.saga_id, row.opened_by]
            if head.newer or head.fingerprint not in manifests:
                continue  # only a newer program knows what it says
            draft = _draft(row, head, manifests[head.fingerprint], entry, children, begun)
            if draft is not None:
                drafts.append(draft)
        sent = {(draft.row.saga_id, draft.row.opened_by) for draft in drafts}
        await self.put_off([row for row in rows if (row.saga_id, row.opened_by) not in sent])
        return await self._written(drafts)

    async def _written(self, drafts: Sequence[_Draft]) -> list[Letter]:
        wanted = [
            (draft.head.saga_id, value)
            for draft in drafts
            if draft.plan is not None
            for value in draft.plan.values
            if value is not None and (value.event is not None or value.payload)
        ]
        loaded = await self._engine.values.load(self._store, wanted)
        found: list[Letter] = []
        for draft in drafts:

            def load(value: Value, saga_id: str = draft.head.saga_id) -> Json:
                return loaded[saga_id, value]

            found.append((draft.row, draft.make(None if draft.plan is None else compose(draft.plan, load))))
        return found

    async def put_off(self, rows: Sequence[WaitRow]) -> None:
        """Let messages come again in a while: nobody here knows how to tell them."""
        if rows:
            await self._store.postpone([(row.saga_id, row.opened_by, UNKNOWN_SECONDS) for row in rows])


def is_start(letter: Letter) -> bool:
    """Whether it starts a saga, which takes a commit of its own."""
    return isinstance(letter[1], Start)


def refusals(words: Sequence[Input], answers: Sequence[Answer]) -> dict[int, Input]:
    """What parents are told of children that could not be started, by the place of the start.

    Without it they would wait for ever.
    """
    found: dict[int, Input] = {}
    for index, (word, answer) in enumerate(zip(words, answers, strict=True)):
        if isinstance(word, Start) and word.parent is not None and answer.code == "refused":
            log.error("the child %s of %s cannot be started: %s", word.saga_id, word.parent.saga_id, answer.detail)
            parent = word.parent
            found[index] = _refused(parent.saga_id, word.id, word.saga_id, parent.step, parent.attempt, word.trace)
    return found


def _refused(parent: str, message: str, child_id: str, step: str, attempt: int, trace: str | None) -> ChildEnds:
    return ChildEnds(
        parent, f"{message}/refused", child_id=child_id, step=step, attempt=attempt, status="refused", trace=trace
    )


def _draft(
    row: WaitRow,
    head: State,
    manifest: Manifest,
    entry: Recorded,
    children: Mapping[str, Manifest],
    begun: Collection[str],
) -> _Draft | None:
    """What `row` says; `begun` are the children with a pivot that exist: to these the start is only told again."""
    message = f"{row.saga_id}/{row.opened_by}"
    match entry.event:
        case e.ChildStarted(step=str(step), attempt=attempt, child_id=child_id, definition=definition):
            if definition not in children:
                log.error("nobody has declared the saga '%s', which %s starts", definition, row.saga_id)
                return None
            if child_id not in begun and is_one_way(manifest.by_name[step], children[definition]):
                log.error("the saga '%s' has a pivot now, and %s must be able to turn it back", definition, row.saga_id)
                told = _refused(row.saga_id, message, child_id, step, attempt, entry.trace)
                return _Draft(row, head, lambda _: told)

            def start(value: Json) -> Start:
                parent = Parent(row.saga_id, step, attempt)
                return Start(
                    child_id, children[definition], value, request_id=message, trace=entry.trace, parent=parent
                )

            path = manifest.by_name[step].child_input or "input"
            return _Draft(row, head, start, plan_at(manifest, head, path))
        case e.UndoScheduled():
            child = head.step(entry.event.step or "").child
            return None if child is None else _Draft(row, head, lambda _: ParentTurnsBack(child, message, entry.trace))
        case _:
            return _end(row, head, manifest, entry, message)


def _end(row: WaitRow, head: State, manifest: Manifest, entry: Recorded, message: str) -> _Draft | None:
    parent, status = head.parent, STATUSES.get(type(entry.event))
    if parent is None or status is None:
        return None

    def end(result: Json) -> ChildEnds:
        return ChildEnds(
            parent.saga_id, message, child_id=row.saga_id, step=parent.step, attempt=parent.attempt, status=status,
            result=result, trace=head.trace,
        )  # fmt: skip

    return _Draft(row, head, end, plan_of_result(manifest, head) if status == "completed" else None)

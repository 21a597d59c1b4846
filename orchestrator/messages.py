"""What sagas owe one another becomes the input of who is to hear it (rule B5).

A message is a wait of its sender, written by the sender's commit. It is applied to the receiver, and goes when that is
committed: so it comes at least once, and in order.
"""

import logging
from collections.abc import Mapping, Sequence

from orchestrator.arguments import Plan, compose, plan_at, plan_of_result
from orchestrator.commands import Values
from sagas import events as e
from sagas.events import Event, Json
from sagas.inputs import ChildEnds, Input, ParentTurnsBack, Start
from sagas.manifest import Manifest
from sagas.ports import Store, WaitRow
from sagas.state import Parent, State, Value

log = logging.getLogger("amends.messages")

UNKNOWN_SECONDS = 10.0
STATUSES: Mapping[type[Event], str] = {
    e.SagaCompleted: "completed",
    e.SagaCompensated: "compensated",
    e.StepResolved: "closed",
}


class Messages:
    """Reads what is owed. `values` are those that the engine remembers."""

    def __init__(self, store: Store, values: Values) -> None:
        self._store = store
        self._values = values

    async def words(self, rows: Sequence[WaitRow]) -> list[tuple[WaitRow, Input]]:
        """Messages that are due, each with what its receiver is to be told."""
        if not rows:
            return []
        heads = await self._store.heads(sorted({row.saga_id for row in rows}))
        manifests = await self._store.manifests(sorted({head.fingerprint for head in heads.values()}))
        children = {found.name: found for found in (await self._store.manifests()).values()}
        found: list[tuple[WaitRow, Input]] = []
        for row in rows:
            head = heads[row.saga_id]
            word = await self._word(row, head, manifests[head.fingerprint], children)
            if word is not None:
                found.append((row, word))
        await self._put_off([row for row in rows if row not in [known for known, _ in found]])
        return found

    async def _word(
        self, row: WaitRow, head: State, manifest: Manifest, children: Mapping[str, Manifest]
    ) -> Input | None:
        (entry,) = await self._store.history(row.saga_id, row.opened_by - 1, 1)
        message = f"{row.saga_id}/{row.opened_by}"
        match entry.event:
            case e.ChildStarted(step=str(step), attempt=attempt, child_id=child_id, definition=definition):
                if definition not in children:
                    log.error("nobody has declared the saga '%s', which %s starts", definition, row.saga_id)
                    return None
                value = await self._load(head, plan_at(manifest, head, manifest.by_name[step].child_input or "input"))
                return Start(
                    child_id, children[definition], value, request_id=message, trace=entry.trace,
                    parent=Parent(row.saga_id, step, attempt),
                )  # fmt: skip
            case e.UndoScheduled():
                child = head.step(entry.event.step or "").child
                return None if child is None else ParentTurnsBack(child, message, entry.trace)
            case _:
                return await self._end(row, head, manifest, entry.event, message)

    async def _end(self, row: WaitRow, head: State, manifest: Manifest, event: Event, message: str) -> ChildEnds | None:
        parent, status = head.parent, STATUSES.get(type(event))
        if parent is None or status is None:
            return None
        result = await self._load(head, plan_of_result(manifest, head)) if status == "completed" else None
        return ChildEnds(
            parent.saga_id, message, child_id=row.saga_id, step=parent.step, attempt=parent.attempt, status=status,
            result=result, trace=head.trace,
        )  # fmt: skip

    async def _load(self, head: State, plan: Plan) -> Json:
        wanted = [value for value in plan.values if value is not None and (value.event is not None or value.payload)]
        loaded = await self._values.load(self._store, [(head.saga_id, value) for value in wanted])

        def load(value: Value) -> Json:
            return loaded[head.saga_id, value]

        return compose(plan, load)

    async def _put_off(self, rows: Sequence[WaitRow]) -> None:
        if rows:
            await self._store.postpone([(row.saga_id, row.opened_by, UNKNOWN_SECONDS) for row in rows])

"""A saga as the API, the command line and the job view show it (design section 10, req. X6)."""

from collections.abc import Collection, Mapping, Sequence
from math import isinf
from typing import Any, Protocol

from amends.remedies import remedies
from amends.timeline import instant, sentence
from sagas import events as e
from sagas.codec import encode
from sagas.events import Json, Recorded
from sagas.forward import items_of
from sagas.listing import SagaRow
from sagas.manifest import Manifest, Node
from sagas.ports import WaitRow
from sagas.state import COMMAND_KINDS, Key, State, StepState, Value
from sagas.versions import Newer, what_it_needs

HISTORY_MAX = 10_000
REMEDIES_MAX = 20
"""Of so many operators' waits a view says what ends them: each is decided, and `each` may have thousands."""
FINISHED = ("succeeded", "skipped")
DONE = (*FINISHED, "undone")
SCHEDULED = (e.StepScheduled, e.UndoScheduled, e.ProbeScheduled, e.FallbackScheduled)
OPERATOR_CAUSES = {
    "step_failed": "step {step} failed, and behind the pivot nothing is undone",
    "outcome_unknown": "nobody knows whether step {step} happened",
    "pivot_unknown": "nobody knows whether step {step} (pivot) happened",
    "undo_failed": "the undo of step {step} gave up: what {step} did is still there",
    "late_effect": "step {step} had an effect after it was given up",
    "repairs_used_up": "{what} got stuck again and again, and the repairs are used up",
}


class Readable(Protocol):
    """What a view asks of a store, and of an archived saga."""

    async def history(self, saga_id: str, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """The events of a saga, in order."""
        ...

    async def waits(self, saga_id: str) -> list[WaitRow]:
        """Its open waits."""
        ...

    async def values(self, wanted: Sequence[tuple[str, Value]]) -> list[Json]:
        """The values behind references."""
        ...


def summary(row: SagaRow) -> dict[str, Json]:
    """A saga as lists show it."""
    state = row.state
    waits = [operator_line(wait.cause, wait.step) for wait in state.waits.values() if wait.kind == "operator"]
    return {
        "sagaId": state.saga_id,
        "definition": state.definition,
        "status": state.status,
        "key": state.key,
        "version": state.version,
        "held": state.held,
        "waitsFor": what_it_needs(state.release) if state.newer else waits[0] if waits else None,
        "createdAt": instant(row.created_at),
        "updatedAt": instant(row.updated_at),
    }


async def detail(
    store: Readable, manifest: Manifest, state: State, now: float, nobody_for: Collection[int] = ()
) -> dict[str, Json]:
    """A saga with its steps, waits and values at `now`: at most five queries, whatever its size.

    `nobody_for` tells which commands lie though no worker that lives can run them, by what opened them.
    """
    history = await store.history(state.saga_id, limit=HISTORY_MAX)
    waits = await store.waits(state.saga_id)
    keys = [key for node in manifest.nodes for key in records_of(manifest, state, node)]
    value, results = await values_of(store, state, keys)
    return {
        "sagaId": state.saga_id,
        "definition": state.definition,
        "status": state.status,
        "held": state.held,
        **_hold(state, history),
        "version": state.version,
        "key": state.key,
        "input": value,
        "result": result_of(manifest, state, results),
        "error": state.error,
        "currentStep": sum(state.step(*key).status in FINISHED for key in keys),
        "steps": [_step(state, key, results.get(key), history) for key in keys],
        "waits": _waits(manifest, state, {row: _nobody_since(row, history, nobody_for) for row in waits}, now),
        "createdAt": instant(state.started_at),
        "completedAt": instant(state.ended_at) if state.ended_at is not None else None,
    }


async def unread(store: Readable, state: State) -> dict[str, Json]:
    """A saga that a newer program wrote to: what is known of it here, and the event that nobody here can read."""
    history = await store.history(state.saga_id, limit=HISTORY_MAX)
    met = next((entry.event for entry in history if isinstance(entry.event, Newer)), None)
    event = f" ({met.type}, version {met.version})" if met is not None else ""
    message = what_it_needs(state.release) + event
    return {
        "sagaId": state.saga_id,
        "definition": state.definition,
        "status": state.status,
        "held": state.held,
        "heldSince": None,
        "heldBy": None,
        "version": state.version,
        "key": state.key,
        "input": None,
        "result": None,
        "error": {"type": "NewerEvent", "code": "newer_event", "message": message, "attempt": 0, "retryable": True},
        "currentStep": 0,
        "steps": [],
        "waits": [_wait(state, row) for row in await store.waits(state.saga_id)],
        "createdAt": instant(state.started_at),
        "completedAt": instant(state.ended_at) if state.ended_at is not None else None,
    }


def _hold(state: State, history: Sequence[Recorded]) -> dict[str, Json]:
    """Since when a saga is held, and by whom."""
    if not state.held:
        return {"heldSince": None, "heldBy": None}
    held = [entry.actor for entry in history if isinstance(entry.event, e.SagaHeld)]
    return {"heldSince": instant(state.held_at), "heldBy": held[-1] if held else None}


def records_of(manifest: Manifest, state: State, node: Node) -> list[Key]:
    """The records that tell how a node stands: its items under `each`, unless all were skipped; else itself."""
    if node.each is None or state.step(node.name).status == "skipped":
        return [(node.name, None)]
    return [(node.name, item) for item in items_of(manifest, state, node) if item is not None]


async def values_of(store: Readable, state: State, keys: Sequence[Key]) -> tuple[Json, dict[Key, Json]]:
    """The saga's input, and what these steps gave as far as they gave anything; one question to the store."""
    found = {key: value for key in keys if (value := state.step(*key).result) is not None}
    first, *others = await store.values([(state.saga_id, value) for value in (state.input, *found.values())])
    return first, dict(zip(found, others, strict=True))


def result_of(manifest: Manifest, state: State, results: Mapping[Key, Json]) -> Json:
    """The saga's result, made of what its steps gave (def_R14)."""
    if state.status != "completed" or manifest.result_from is None:
        return None
    node = manifest.by_name[manifest.result_from]
    records = records_of(manifest, state, node)
    found = [results.get(key) for key in records]
    return found[0] if records == [(node.name, None)] else found


def job(view: Mapping[str, Any]) -> dict[str, Json]:
    """The job view of a saga: pending, active, completed or failed, and how far it is (req. X6)."""
    steps: list[dict[str, Any]] = view["steps"]
    done = sum(100 if step["status"] in DONE else (step["progress"] or {"percent": 0})["percent"] for step in steps)
    ended = view["status"] in ("completed", "compensated", "failed")
    started = [step["startedAt"] for step in steps if step["startedAt"]]
    return {
        "jobId": view["sagaId"],
        "sagaId": view["sagaId"],
        "status": _job_status(view["status"], steps, waits=view["waits"], held=view["held"]),
        "progress": 100 if ended else done // max(len(steps), 1),
        "result": view["result"],
        "error": _job_error(view),
        "attempts": max((step["attempt"] for step in steps), default=0),
        "fallback": any(step["fallback"] for step in steps),
        "createdAt": view["createdAt"],
        "startedAt": min(started, default=None),
        "completedAt": view["completedAt"],
    }


def event(entry: Recorded) -> dict[str, Json]:
    """An event as the API shows it."""
    return {
        "sequenceNumber": entry.sequence,
        "type": entry.event.type if isinstance(entry.event, Newer) else type(entry.event).__name__,
        "data": encode(entry.event),
        "createdAt": instant(entry.at),
        "causationId": entry.causation,
        "actor": entry.actor,
        "sentence": " ".join(sentence(entry.event).split()),
    }


def _role(state: State, row: WaitRow) -> str:
    wait = state.waits.get(row.opened_by)
    return "" if wait is None or wait.role == "step" else f"the {wait.role} of "


def operator_line(cause: str | None, step: str | None) -> str:
    """What an operator is asked."""
    what = "the saga's deadline" if step is None else f"step {step}"
    return "operator: " + OPERATOR_CAUSES.get(cause or "", "{what} needs a decision").format(step=step, what=what)


def _step(state: State, key: Key, result: Json, history: Sequence[Recorded]) -> dict[str, Json]:
    step = state.step(*key)
    started, ended = _times(history, key)
    return {
        "step": key[0],
        "item": key[1],
        "status": step.status,
        "attempt": step.attempt,
        "result": result,
        "error": step.error,
        "fallback": step.fallback,
        "progress": _progress(step, key, history),
        "startedAt": instant(started) if started is not None else None,
        "endedAt": instant(ended) if ended is not None else None,
    }


def _progress(step: StepState, key: Key, history: Sequence[Recorded]) -> dict[str, Json] | None:
    """What the attempt that runs said last of how far it is."""
    if step.status not in ("scheduled", "running"):
        return None
    for entry in reversed(history):
        said = entry.event
        if isinstance(said, e.StepProgressed) and (said.step, said.item) == key and said.attempt == step.attempt:
            return {"percent": said.percent, "message": said.message}
    return None


def _times(history: Sequence[Recorded], key: Key) -> tuple[float | None, float | None]:
    """When the first attempt of a step began, and when its last ended, as far as events tell."""
    started: float | None = None
    ended: float | None = None
    for entry in history:
        if (entry.event.step, entry.event.item) != key:
            continue
        ago = getattr(entry.event, "started_ago", None) or getattr(entry.event, "ago", None)
        if started is None and (ago is not None or isinstance(entry.event, e.StepSucceeded | e.StepFailed)):
            started = entry.at - (ago or 0.0)
        if isinstance(
            entry.event, e.StepSucceeded | e.StepFailed | e.StepOutcomeUnknown | e.FallbackUsed | e.StepUndone
        ):
            ended = entry.at
    return started, ended


def _waits(manifest: Manifest, state: State, rows: Mapping[WaitRow, float | None], now: float) -> list[Json]:
    shown: list[Json] = []
    desks = 0
    for row, nobody_since in rows.items():
        wait = state.waits.get(row.opened_by)
        desks += row.kind == "operator"
        tells = row.kind == "operator" and wait is not None and desks <= REMEDIES_MAX
        ends: list[Json] = [*remedies(manifest, state, wait, now)] if tells and wait is not None else []
        shown.append({**_wait(state, row, nobody_since), "remedies": ends})
    return shown


def _nobody_since(row: WaitRow, history: Sequence[Recorded], nobody_for: Collection[int]) -> float | None:
    """Since when no worker could run what this wait is about: the first of the refusals that nothing came between."""
    since = row.since if row.opened_by in nobody_for else None
    if row.kind not in (*COMMAND_KINDS, "retry"):
        return None
    for entry in reversed(history):
        event = entry.event
        if (event.step, event.item) != (row.step, row.item):
            continue
        if isinstance(event, e.StepRefused) and event.reason in ("no_handler", "no_resource"):
            since = entry.at
        elif not isinstance(event, SCHEDULED):
            break
    return since


def _wait(state: State, row: WaitRow, nobody_since: float | None = None) -> dict[str, Json]:
    wait = state.waits.get(row.opened_by)
    cause = wait.cause if wait is not None else None
    where = row.step if row.item is None else f"{row.step}[{row.item}]"
    match row.kind:
        case "operator":
            what, ends = operator_line(cause, where), "somebody decides"
        case kind if nobody_since is not None and kind in (*COMMAND_KINDS, "retry"):
            what = f"a worker that can run {_role(state, row)}{where}: no capable worker since {instant(nobody_since)}"
            ends = "a worker with its handler and resources is started"
        case "retry":
            what, ends = f"{where} to be tried again", "its time comes"
        case "timer" if cause == "may_run":
            what, ends = f"an attempt of {where} that may still run", "its timeout and a lease have passed"
        case "timer":
            what, ends = f"the pause {where}", "its time comes"
        case "signal":
            what = f"somebody to send {where}"
            ends = f"amends saga signal {row.saga_id} {row.step} VALUE, or its time comes"
        case "child":
            what, ends = f"child {where}, saga {state.step(row.step or '').child}", "the child has ended"
        case "notify":
            what, ends = f"another saga to hear of event {row.opened_by}", "an orchestrator tells it"
        case "deadline" if where is not None:
            what, ends = f"a worker to begin {where} in time", "a worker begins it, or the time is over"
        case "deadline":
            what, ends = "the saga's deadline", "the saga ends, or its time comes"
        case kind if kind in COMMAND_KINDS:
            sent = "not sent yet" if row.unsent else f"queue {row.queue}"
            what, ends = f"{row.kind} {where}, attempt {row.attempt} ({sent})", "a worker tells what became of it"
        case _:
            what, ends = f"{row.kind} {where or ''}".strip(), "it is over"
    return {
        "kind": row.kind,
        "step": row.step,
        "item": row.item,
        "cause": cause,
        "what": what,
        "since": instant(row.since),
        "dueAt": None if isinf(row.due_at) else instant(row.due_at),
        "endsWhen": ends,
        "child": state.step(row.step or "").child if row.kind == "child" else None,
    }


def _job_status(
    status: str, steps: Sequence[Mapping[str, Any]], *, waits: Sequence[Mapping[str, Any]], held: bool
) -> str:
    if status == "completed":
        return "completed"
    if status in ("compensated", "failed"):
        return "failed"
    if held or status == "compensating" or any(wait["kind"] == "operator" for wait in waits):
        return "active"
    states = {step["status"] for step in steps}
    if any(step["status"] == "running" and step["startedAt"] for step in steps):  # a wait runs without being begun
        return "active"
    begun = any(step["startedAt"] for step in steps)
    return "active" if begun and "retrying" not in states else "pending"


def _job_error(view: Mapping[str, Any]) -> Json:
    if view["status"] not in ("compensated", "failed"):
        return None
    error = dict(view["error"] or {"type": "Cancelled", "code": "cancelled", "message": "the saga was turned back"})
    return {**error, "outcome": view["status"]}

"""Moving a saga to another version of its definition: whether what it has done fits the new graph.

A saga runs by the manifest that it was started with. It can be moved when the new version could have come to where the
saga stands: what was done is still there, in an order that holds, and the way back is the same.
"""

from collections.abc import Iterator
from dataclasses import replace

from sagas import events as e
from sagas.compensation import needs_undo
from sagas.draft import Draft
from sagas.forward import item_count
from sagas.inputs import Migrate
from sagas.manifest import Handler, Manifest, Node, Role
from sagas.state import COMMAND_KINDS, DONE, State, StepState

UNDO_BEGUN = frozenset({"undoing", "undone", "undo_failed"})
NOT_OVER = frozenset({"scheduled", "running", "unknown"})


def migrate(draft: Draft, word: Migrate) -> None:
    """Move the saga, or refuse with everything that does not fit."""
    state, new = draft.state, word.manifest
    if new.name != state.definition:
        draft.refuse(f"it is a saga of '{state.definition}', not of '{new.name}'")
    elif (state.terminal or state.closed) and not may_reopen(state):
        draft.refuse(f"the saga is {'closed' if state.closed else state.status}")
    elif new.fingerprint == state.fingerprint:
        draft.remark("the saga goes by this version already")
    elif misfits := list(misfits_of(draft.manifest, new, replace(state, facts={**state.facts, **word.facts}))):
        draft.refuse("; ".join(misfits))
    else:
        draft.emit(e.SagaMigrated(fingerprint=new.fingerprint, reason=word.reason, facts=word.facts))
        draft.manifest = new


def may_reopen(state: State) -> bool:
    """Whether a saga that has ended may yet undo: its parent may turn it back, or an operator is asked about it."""
    if state.status == "completed":
        return state.parent is not None
    return any(wait.kind == "operator" for wait in state.waits.values())


def misfits_of(old: Manifest, new: Manifest, state: State) -> Iterator[str]:
    """What of the saga's progress does not fit the new version, each in a line."""
    begun = {name: step.status for (name, _), step in state.steps.items() if step.status not in ("pending", "skipped")}
    sent = {name: step.status for (name, _), step in state.steps.items() if step.signals}
    for name in begun | sent:
        node = new.by_name.get(name)
        if node is None:
            yield f"'{name}' {_stands(begun.get(name))}, and the new version has no such step"
        elif name in old.by_name:
            yield from _changed(old, old.by_name[name], node, state)
    yield from _pivot_moved(old, new, state)
    if state.parent is not None and old.pivot is None and new.pivot is not None:
        yield f"'{new.pivot.name}' is a pivot now: the saga that started it could not turn it back"
    if state.status == "active":
        yield from _out_of_order(new, state, [node for node in new.nodes if node.name in begun])
    yield from _undone_late(old, new, state)
    yield from _never_looked_at(new, state)


def function_of(node: Node, role: Role) -> Handler | None:
    """The function of a step for a role."""
    match role:
        case "step":
            return node.handler
        case "undo":
            return node.undo
        case "probe":
            return node.probe
        case "fallback":
            return node.fallback


def _stands(status: str | None) -> str:
    return "was sent" if status is None else f"is {status}"


def _changed(manifest: Manifest, before: Node, after: Node, state: State) -> Iterator[str]:
    """What is another thing than it was when it began."""
    name = before.name
    if before.kind != after.kind:
        yield f"'{name}' has begun as a {before.kind} and is a {after.kind} now"
    if before.each != after.each:
        yield f"'{name}' has begun for each {before.each or 'saga'} and is run for each {after.each or 'saga'} now"
    if before.child != after.child:
        yield f"'{name}' has started the saga '{before.child}', and starts '{after.child}' now"
    if before.transactional != after.transactional:
        yield f"'{name}' has begun {_with(before)} a Transaction and is done {_with(after)} one now"
    if before.undo is not None and after.undo is None and not pivot_passed(manifest, state):
        yield f"'{name}' has begun, and its undo is gone: nothing could undo it"
    for wait in state.waits.values():
        if wait.step == name and (wait.kind in COMMAND_KINDS or wait.kind == "retry") and wait.role != "undo":
            built_in = wait.role == "probe" and after.transactional
            if before.kind == "step" and function_of(after, wait.role) is None and not built_in:
                yield f"the {wait.role} of '{name}' is under way, and the new version has none"


def is_one_way(node: Node, child: Manifest) -> bool:
    """Whether a child cannot be turned back, though its parent's version counts on it (def_R9)."""
    return node.step_class == "child" and child.pivot is not None


def pivot_passed(manifest: Manifest, state: State) -> bool:
    """Whether there is no way back any more."""
    pivot = manifest.pivot
    return pivot is not None and state.step(pivot.name).status in DONE


def _with(node: Node) -> str:
    return "with" if node.transactional else "without"


def _pivot_moved(old: Manifest, new: Manifest, state: State) -> Iterator[str]:
    before, after = old.pivot, new.pivot
    if before is not None and after is not None and before.name == after.name:
        return
    for pivot, moved in ((before, "is no pivot any more"), (after, "is the pivot now")):
        if pivot is not None and (status := state.step(pivot.name).status) != "pending":
            yield f"'{pivot.name}' is {status} and {moved}: the way back would change behind the saga"


def _out_of_order(new: Manifest, state: State, begun: list[Node]) -> Iterator[str]:
    """What would have had to run before something that has begun."""
    for node in begun:
        for name in sorted(new.ancestors[node.name]):
            if not _has_ended(new, state, new.by_name[name]):
                yield f"'{name}' has to end before '{node.name}', which has begun"


def _undone_late(old: Manifest, new: Manifest, state: State) -> Iterator[str]:
    """What in the new version leans on something whose undo has begun, and did not in the old one (rule B1)."""
    known = set(_too_late(old, state))
    for name, first in _too_late(new, state):
        if (name, first) not in known:
            yield f"'{name}' has to be over and undone before '{first}', which is {state.step(first).status}"


def _too_late(manifest: Manifest, state: State) -> Iterator[tuple[str, str]]:
    """What may be running still or is yet to be undone, each with something that it leans on and whose undo has begun.

    Old sagas may have some: what comes late is undone late.
    """
    gone = {name for (name, _), step in state.steps.items() if step.status in UNDO_BEGUN}
    for name in dict.fromkeys(name for name, _ in state.steps) if gone else ():
        node = manifest.by_name.get(name)
        items = [step for (other, _), step in state.steps.items() if other == name]
        if node is not None and any(step.status in NOT_OVER or needs_undo(node, step) for step in items):
            yield from ((name, first) for first in sorted(gone & manifest.ancestors[name]))


def _has_ended(manifest: Manifest, state: State, node: Node) -> bool:
    whole = state.step(node.name)
    if node.each is None or whole.status == "skipped":
        return whole.status in DONE
    items: list[StepState] = [state.step(node.name, place) for place in range(item_count(manifest, state, node))]
    return all(item.status in DONE for item in items)


def _never_looked_at(new: Manifest, state: State) -> Iterator[str]:
    """Conditions of the new version over values that came before it, and that nobody brought the answer to."""
    for path, kind in new.paths:
        source = path.partition(".")[0]
        node = new.by_name.get(source)
        known = source == "input" or (node is not None and node.each is None and state.step(source).status in DONE)
        if known and state.step(source).status != "skipped" and f"{kind}:{path}" not in state.facts:
            yield f"what stands at '{path}' is not known"

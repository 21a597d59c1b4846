"""When a saga is at rest: it has ended, or nothing goes on that ends soon by itself."""

from collections.abc import Mapping

from sagas import events as e
from sagas.manifest import Node
from sagas.state import COMMAND_KINDS, State, Wait


def rests(state: State, family: Mapping[str, State], soon: float) -> bool:
    """Whether nothing more happens before `soon`: it has ended, or waits for people, its family, or a date far away."""
    if state.terminal or state.closed:
        return not any(wait.kind in COMMAND_KINDS for wait in state.waits.values())
    explained = [_explains(state, wait, family, soon) for wait in state.waits.values() if wait.kind != "deadline"]
    return bool(explained) and all(explained)


def holds_key(state: State) -> bool:
    """Whether no other saga may begin under its key (def_R23)."""
    return state.key is not None and state.status != "compensated" and not state.closed


def has_undo(node: Node) -> bool:
    """Whether it has something to undo: a child has itself."""
    return node.undo is not None or node.kind == "child"


def told_by_key(node: Node, event: e.Event) -> bool:
    """Whether a key may tell it, and not the handler of the attempt that is recorded (rules T1, T2)."""
    handler = node.handler
    if isinstance(event, e.StepUndone):
        handler = node.undo
    elif isinstance(event, e.FallbackUsed) or getattr(event, "role", "step") == "fallback":
        handler = node.fallback
    return node.transactional or handler is None or handler.transactional


def _explains(state: State, wait: Wait, family: Mapping[str, State], soon: float) -> bool:
    """Whether a wait is one that nothing ends soon: people, a child that rests itself, a date far away."""
    if wait.kind == "child":
        child = family.get(state.step(wait.step or "").child or "")
        return child is not None and not child.terminal and not child.closed and rests(child, family, soon)
    if wait.kind in ("signal", "timer"):
        return wait.due_at is not None and wait.due_at > soon
    return wait.kind == "operator"

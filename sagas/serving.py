"""What new definitions lack for sagas that go by an older version: functions by name, what they take, waits, queues."""

from collections.abc import Collection, Iterator, Mapping

from sagas.binding import BoundHandler
from sagas.manifest import Handler, Manifest, Node, Role
from sagas.migrating import function_of, is_one_way, pivot_passed
from sagas.records import record
from sagas.schemas import widens
from sagas.seal import Sealed
from sagas.state import COMMAND_KINDS, DONE, State

ROLES: tuple[Role, ...] = ("step", "undo", "probe", "fallback")
SENT = frozenset({"item", "result", "node", "input"})
"""Sources of arguments that come with the command, as the saga's own version has it."""

WAIT = "deploy when they have ended"
NOT_SENT = "which their version does not send"


@record
class Gap:
    """Something that an open saga needs and that nobody would have; `remedy` says what to do."""

    what: str
    remedy: str


def gaps_of(old: Manifest, state: State, new: Mapping[str, Sealed], unborn: Collection[str] = ()) -> Iterator[Gap]:
    """What a saga that goes by `old` still needs and does not find in the definitions `new`, by their names.

    `unborn` are ids of children whose start is on its way.
    """
    target = new.get(state.definition)
    if target is None:
        yield Gap(
            f"nothing that was named declares '{state.definition}'",
            f"name its module too, if workers that have it go on; else keep it: {WAIT}",
        )
        return
    queues = {queue for sealed in new.values() for queue in sealed.manifest.queues}
    for node, roles in needed(old, state).items():
        before = old.by_name[node]
        if before.kind == "child" and before.child not in new:
            yield Gap(f"nothing that was named declares '{before.child}', which '{node}' starts", f"keep it: {WAIT}")
        elif before.kind == "child" and _starts_one_way(before, state, new, unborn):
            yield Gap(f"'{before.child}', which '{node}' starts, has a pivot now: nobody could turn it back",
                      f"let it have none until they have ended; or {_move(state)}")  # fmt: skip
        if before.kind != "step":
            continue
        if before.queue not in queues:
            yield Gap(
                f"'{node}' is sent to the queue '{before.queue}', which nobody would read",
                f"let a step keep that queue, or keep a worker of the old version: {WAIT}",
            )
        after = target.manifest.by_name.get(node)
        if after is None or after.kind != "step":
            yield Gap(
                f"the step '{node}' is gone, and they still need it ({', '.join(roles)})", _keep(state, f"'{node}'")
            )
            continue
        for role in roles:
            yield from _function(state, before, after, role, target.handlers.get((node, role)))
    for one in old.nodes:
        if one.kind == "signal" and _awaited(state, one):
            yield from _signal(state, one, target.manifest.by_name.get(one.name))


def needed(manifest: Manifest, state: State) -> dict[str, list[Role]]:
    """The nodes that a saga may still need, each with the roles of its functions."""
    found: dict[str, list[Role]] = {}
    for node in manifest.nodes:
        wanted = _wanted(manifest, state, node)
        present: list[Role] = [role for role in ROLES if role in wanted and function_of(node, role) is not None]
        if present or (node.kind == "child" and wanted):
            found[node.name] = present
    return found


def _wanted(manifest: Manifest, state: State, node: Node) -> set[Role]:
    """The roles of a node that may come yet: what is owed, what lies ahead, and the way back while there is one.

    One that has completed is asked about as the child of a parent that may turn it back (rule B5).
    """
    steps = [step for (name, _), step in state.steps.items() if name == node.name]
    roles: set[Role] = {wait.role for wait in state.waits.values() if wait.step == node.name and _is_command(wait.kind)}
    if state.status == "active":
        ended = bool(steps) and node.each is None and steps[0].status in DONE
        if not ended:
            roles |= {"step", "fallback", "probe"}
        skipped = ended and steps[0].status == "skipped"
        if not skipped and not pivot_passed(manifest, state):
            roles |= {"undo"}
    elif state.status in ("compensating", "failed", "completed"):
        left = [step for step in steps if step.status not in ("pending", "skipped", "undone")]
        if any(step.status != "failed" or node.transactional for step in left):
            roles |= {"undo"}
        if any(step.status == "unknown" for step in left):
            roles |= {"probe"}
    asked = any(wait.cause == "late_effect" and wait.step == node.name for wait in state.waits.values())
    if asked and state.status != "completed" and not pivot_passed(manifest, state):
        roles |= {"undo"}
    return roles


def _starts_one_way(node: Node, state: State, new: Mapping[str, Sealed], unborn: Collection[str]) -> bool:
    """Whether a child is yet to be started that could not be turned back."""
    step = state.step(node.name)
    return (step.status == "pending" or step.child in unborn) and is_one_way(node, new[node.child or ""].manifest)


def _awaited(state: State, node: Node) -> bool:
    """Whether somebody has yet to send this signal: what was sent before its wait is kept for it."""
    step = state.step(node.name)
    return state.status == "active" and step.status not in DONE and not step.signals


def _signal(state: State, before: Node, after: Node | None) -> Iterator[Gap]:
    nobody = "no route or client of yours would send it"
    by_hand = f"send it by hand: amends saga signal ID {before.name} JSON"
    remedy = f"{_keep(state, repr(before.name))}; or {by_hand}"
    if after is None:
        yield Gap(f"the wait '{before.name}' is gone, and they still wait for it: {nobody}", remedy)
    elif after.kind != "signal":
        yield Gap(f"'{before.name}', which they wait for, is a {after.kind} now: {nobody}", remedy)
    elif not widens(before.result_schema, after.result_schema):
        yield Gap(
            f"'{before.name}' is sent as {after.gives} now: what was right for them, {before.gives}, is refused",
            f"give new fields a default until they have ended; or {_move(state)}",
        )


def _is_command(kind: str) -> bool:
    return kind in COMMAND_KINDS or kind == "retry"


def _function(state: State, before: Node, after: Node, role: Role, bound: BoundHandler | None) -> Iterator[Gap]:
    old, new = function_of(before, role), function_of(after, role)
    where = f"'{before.name}'" if role == "step" else f"the {role} of '{before.name}'"
    if old is None:
        return
    if new is None:
        yield Gap(f"{where} is gone, and they still need it", _keep(state, where))
        return
    if old.transactional != new.transactional:
        now = "a" if new.transactional else "no"
        yield Gap(f"{where} takes {now} Transaction now: its key would not tell what happened", _keep(state, where))
    for name, why in _not_given(old, new):
        if bound is not None and why == NOT_SENT and bound.takes_nothing(name):
            continue
        yield Gap(
            f"{where} takes '{name}', {why}",
            f"let {new.function} take nothing for it (`{name}: … | None`) until they have ended; or {_move(state)}",
        )


def _not_given(old: Handler, new: Handler) -> Iterator[tuple[str, str]]:
    """The arguments that a worker would look for in vain, or find another value in."""
    sent = {parameter.name: parameter for parameter in old.parameters}
    for parameter in new.parameters:
        if parameter.source not in SENT:
            continue
        before = sent.get(parameter.name)
        if before is None or before.source not in SENT:
            yield parameter.name, NOT_SENT
        elif (before.source, before.of) != (parameter.source, parameter.of):
            yield parameter.name, f"which in their version is {_source(before.source, before.of)}"
        elif parameter.given and not before.given:
            yield parameter.name, "and asks whether it is a fallback's, which their version does not send"


def _source(source: str, of: str | None) -> str:
    return f"what '{of}' gave" if of is not None else f"the {source}"


def _keep(state: State, what: str) -> str:
    return f"keep {what} under its name until they have ended; or {_move(state)}"


def _move(state: State) -> str:
    return f"move those that fit: amends migrate-sagas {state.definition} --to MODULE --reason …"

"""Where the arguments of a command stand, and how they are put together once they are loaded (def_R2, rule A10).

Pure: a `Plan` names the values that are needed, `compose` joins them. The engine loads those of a whole batch at once.
"""

from collections.abc import Callable, Sequence

from sagas.events import Json
from sagas.facts import length_of, look_up
from sagas.forward import item_count
from sagas.manifest import Handler, Manifest, Node, Parameter
from sagas.records import record
from sagas.state import State, StepState, Value

Load = Callable[[Value], Json]


@record
class Plan:
    """One argument: a value, or one for each item, and the way into it. `index` picks an element at the end."""

    values: tuple[Value | None, ...]
    many: bool = False
    fields: tuple[str, ...] = ()
    index: int | None = None
    given: Json = None

    @property
    def payload(self) -> str | None:
        """The hash to send in place of the argument, where the argument is one whole large value."""
        whole = not self.many and not self.fields and self.index is None
        value = self.values[0] if whole else None
        return value.payload if value is not None else None

    def needed(self) -> list[Value]:
        """The values that must be loaded before the argument can be put together."""
        if self.payload is not None:
            return []
        return [value for value in self.values if value is not None and (value.event is not None or value.payload)]


def plan_of(manifest: Manifest, state: State, node: Node, item: int | None, parameter: Parameter) -> Plan | None:
    """Where the argument of `parameter` stands; `None` for what the worker itself gives."""
    match parameter.source:
        case "input":
            return Plan((state.input,))
        case "item":
            return _at(manifest, state, node.each or "input", item)
        case "result":
            return Plan((state.step(node.name, item).result,))
        case "node":
            source = manifest.by_name[parameter.of or ""]
            if not _has_ended(manifest, state, source):
                return Plan((None,))
            return _result(manifest, state, source.name, given=parameter.given)
        case "context" | "transaction" | "resource":
            return None


def plan_at(manifest: Manifest, state: State, path: str) -> Plan:
    """Where the value behind a path stands."""
    return _at(manifest, state, path, None)


def plan_of_result(manifest: Manifest, state: State) -> Plan:
    """Where the saga's own result stands (def_R14)."""
    return Plan((None,)) if manifest.result_from is None else _result(manifest, state, manifest.result_from)


def plans_of(manifest: Manifest, state: State, node: Node, item: int | None, handler: Handler) -> dict[str, Plan]:
    """The plans of all arguments that come with the command, by parameter name."""
    found = {entry.name: plan_of(manifest, state, node, item, entry) for entry in handler.parameters}
    return {name: plan for name, plan in found.items() if plan is not None}


def compose(plan: Plan, load: Load) -> Json:
    """The argument, with `load` giving the values that `needed` named."""
    found: list[Json] = [None if value is None else _value(value, load) for value in plan.values]
    argument: Json = look_up(found if plan.many else found[0], list(plan.fields))
    if plan.index is None:
        return argument
    return argument[plan.index] if plan.index < length_of(argument) else None


def _has_ended(manifest: Manifest, state: State, node: Node) -> bool:
    """Whether all of a node has ended well once: what an undo may be given (def_R2).

    What stands beside the step need not have, nor what a migration has put before it. What had been left out has,
    though a late word made it unknown again (rule O4).
    """
    whole = state.step(node.name)
    if whole.status == "skipped" or node.each is None:
        return whole.status == "skipped" or whole.result is not None
    source = manifest.by_name.get(node.each.partition(".")[0])
    if source is not None and not _has_ended(manifest, state, source):
        return False
    items = [state.step(node.name, index) for index in range(item_count(manifest, state, node))]
    return all(item.status == "skipped" or item.left_out or item.result is not None for item in items)


def _value(value: Value, load: Load) -> Json:
    return load(value) if value.event is not None or value.payload is not None else value.inline


def _at(manifest: Manifest, state: State, path: str, index: int | None) -> Plan:
    head, *fields = path.split(".")
    if head == "input":
        return Plan((state.input,), fields=tuple(fields), index=index)
    whole = _result(manifest, state, head)
    return Plan(whole.values, whole.many, tuple(fields), index)


def _result(manifest: Manifest, state: State, name: str, *, given: bool = False) -> Plan:
    node = manifest.by_name[name]
    if node.each is None or state.step(name).status == "skipped":
        step = state.step(name)
        return Plan((step.result,), given=_given([step])[0] if given else None)
    steps = [state.step(name, index) for index in range(item_count(manifest, state, node))]
    return Plan(tuple(step.result for step in steps), many=True, given=_given(steps) if given else None)


def _given(steps: Sequence[StepState]) -> list[Json]:
    return [{"fallback": step.fallback, "reason": step.reason} for step in steps]

"""Sealing: the graph of a saga is checked as a whole and becomes a manifest with its handlers (def_R4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagas.binding import BoundHandler
from sagas.declared import Declared, DeclaredHandler
from sagas.errors import DefinitionError, InputError
from sagas.events import Json
from sagas.facts import naive_moments
from sagas.forms import NOTHING, accepts, given_of, optional, type_name, with_given
from sagas.manifest import (
    STEP_DELAYS_SECONDS,
    STEP_TIMEOUT_SECONDS,
    UNDO_DELAYS_SECONDS,
    Handler,
    Manifest,
    Node,
    RetryPolicy,
    Role,
    StepClass,
)
from sagas.options import Said
from sagas.returns import decides, schema_of
from sagas.values import UnfitError, Values

if TYPE_CHECKING:
    from sagas.definition import Saga


@dataclass(frozen=True)
class Defaults:
    """What holds where a saga says nothing: seconds of a timeout, delays in seconds, and the jitter's part."""

    timeout_seconds: float = STEP_TIMEOUT_SECONDS
    delays: tuple[float, ...] = STEP_DELAYS_SECONDS
    undo_delays: tuple[float, ...] = UNDO_DELAYS_SECONDS
    jitter: float = 0.0


@dataclass(frozen=True)
class Sealed:
    """A finished saga: its manifest, its handlers by step and role, and the saga itself."""

    manifest: Manifest
    handlers: Mapping[tuple[str, Role], BoundHandler]
    saga: "Saga[Any, Any]"

    def normalise(self, value: object) -> Json:
        """The input as it is stored: validated, with defaults, by field names (def_R22).

        Raises:
            InputError: it does not fit; each field is named.
        """
        try:
            return self._timed("input", Values(self.saga.graph.input).store(value))
        except UnfitError as unfit:
            raise InputError(self.manifest.name, unfit.errors) from None

    def normalise_value(self, name: str | None, value: object) -> Json:
        """What a node gives, or what somebody sends to it, as it is stored; without a name the input.

        Raises:
            InputError: it does not fit, or there is no such node.
        """
        if name is None:
            return self.normalise(value)
        node = self.saga.graph.nodes.get(name)
        if node is None:
            known = ", ".join(self.saga.graph.nodes)
            raise InputError(self.manifest.name, [("", f"'{name}' is none of {known}")], "step")
        try:
            return self._timed(name, Values(node.gives).store(value))
        except UnfitError as unfit:
            raise InputError(self.manifest.name, unfit.errors, f"what '{name}' gives, in a saga") from None

    def _timed(self, source: str, document: Json) -> Json:
        """The value itself, if each instant in it that is waited for has a time zone (def_R7)."""
        remedy = "so it needs a time zone, such as the Z of 2026-01-01T09:00:00Z"
        naive = naive_moments(self.manifest, source, document)
        if errors := [(path, f"'{waits}' waits for it, {remedy}") for path, waits in naive]:
            raise UnfitError(errors)
        return document

    def refuses(self, name: str | None, value: Json) -> str | None:
        """Why a value that a node gave, or the input, is none of its type; None where it is one."""
        form = self.saga.graph.input if name is None else self.saga.graph.nodes[name].gives
        try:
            Values(form).load(value)
        except UnfitError as unfit:
            return str(unfit)
        return None

    def load_result(self, value: Json) -> Any:
        """The saga's result as the type that it promises."""
        return Values(self.saga.result if self.saga.result is not None else NOTHING).load(value)


def seal(saga: "Saga[Any, Any]", defaults: Defaults) -> Sealed:
    """Check the graph and compile it.

    Raises:
        DefinitionError: it does not hold together.
    """
    nodes = saga.graph.nodes
    if not nodes:
        raise Said(saga.place, "saga").error(
            f"saga '{saga.name}' has no step", f'declare one with @{saga.name}.step("...")'
        )
    pivot = _check_pivot(saga)
    behind = _behind(nodes, pivot)
    compiled = tuple(_node(node, _class_of(node, behind), defaults) for node in nodes.values())
    for node in nodes.values():
        _check_undo(node)
        _check_fallback(node)
        _check_heartbeat(node)
        _check_values(nodes, node)
    manifest = Manifest(
        name=saga.name,
        nodes=compiled,
        input=type_name(saga.graph.input),
        input_schema=saga.input_schema,
        result=type_name(saga.result),
        result_from=_result_from(saga),
        deadline=saga.deadline,
        resources=_resources(saga, compiled),
        paths=_paths(nodes),
    )
    handlers: dict[tuple[str, Role], BoundHandler] = {
        (node.name, role): BoundHandler(node, role, handler)
        for node in nodes.values()
        for role, handler in node.handlers.items()
    }
    return Sealed(manifest, handlers, saga)


def _ancestors(nodes: Mapping[str, Declared]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for node in nodes.values():
        found[node.name] = set(node.after).union(*(found[name] for name in node.after))
    return found


def _is_pivot(node: Declared) -> bool:
    """A child that has a pivot is itself one (def_R9)."""
    return node.pivot or (node.child is not None and any(map(_is_pivot, node.child.graph.nodes.values())))


def _check_pivot(saga: "Saga[Any, Any]") -> Declared | None:
    nodes = saga.graph.nodes
    pivots = [node for node in nodes.values() if _is_pivot(node)]
    if not pivots:
        return None
    if len(pivots) > 1:
        names = " and ".join(f"'{node.name}' ({node.place})" for node in pivots)
        remedy = "keep the one after which there is no way back"
        raise Said(pivots[1].place, "saga").error(f"saga '{saga.name}' has more than one pivot: {names}", remedy)
    pivot = pivots[0]
    if "undo" in pivot.handlers:
        text = f"step '{pivot.name}' is the pivot and has an undo, but from there nothing is undone"
        raise Said(pivot.handlers["undo"].signature.place, "undo").error(text, "remove the undo, or the pivot")
    ancestors = _ancestors(nodes)
    for node in nodes.values():
        if node is pivot or node.name in ancestors[pivot.name]:
            continue
        if pivot.name not in ancestors[node.name]:
            raise DefinitionError(
                f"'{node.name}' is neither before nor behind the pivot '{pivot.name}': it could fail when the way "
                f"back is closed\n"
                f"  remedy: add after=[{node.name}] to '{pivot.name}', or after=[{pivot.name}] to '{node.name}'"
            )
        if "undo" in node.handlers:
            raise DefinitionError(
                f"step '{node.name}' has an undo but comes behind the pivot '{pivot.name}', from where nothing is "
                "undone\n  remedy: remove the undo, or move the step before the pivot"
            )
        if node.on_timeout == "compensate":
            text = f"wait '{node.name}' turns back when nobody answers, but comes behind the pivot '{pivot.name}'"
            remedy = 'say on_timeout="continue", or move the wait before the pivot'
            raise Said(node.place, "wait").error(text, remedy)
    return pivot


def _behind(nodes: Mapping[str, Declared], pivot: Declared | None) -> set[str]:
    if pivot is None:
        return set()
    return {name for name, needs in _ancestors(nodes).items() if pivot.name in needs}


def _class_of(node: Declared, behind: set[str]) -> StepClass:
    if _is_pivot(node):
        return "pivot"
    match node.kind:
        case "signal":
            return "signal"
        case "sleep" | "sleep_until":
            return "sleep"
        case "child":
            return "child"
        case "step":
            if node.name in behind:
                return "retriable"
            return "compensatable" if "undo" in node.handlers else "no_undo"


def _check_undo(node: Declared) -> None:
    """An undo must take what nobody knows, unless somebody always knows (def_R25)."""
    undo, step, probe = (node.handlers.get(role) for role in ("undo", "step", "probe"))
    if undo is None or step is None or "result" not in undo.signature.parameters:
        return
    known = step.transactional or (probe is not None and decides(probe.signature))
    annotation = undo.signature.parameters["result"]
    if not known and not accepts(annotation, None):
        name = type_name(annotation)
        raise DefinitionError(
            f"{undo.signature.place}: parameter 'result' of undo '{node.name}' is {name}, but nobody may know whether "
            f"'{node.name}' happened: its outcome can be unknown after a timeout\n"
            f"  remedy: take `result: {name} | None` and treat None as 'perhaps', or give the step a probe, or do the "
            "work in a Transaction"
        )


def _check_fallback(node: Declared) -> None:
    """What a transaction step's undo has to undo, its keys must tell; a plain fallback has none (rule T2)."""
    step, fallback = node.handlers.get("step"), node.handlers.get("fallback")
    if step is None or fallback is None or "undo" not in node.handlers:
        return
    if step.transactional and not fallback.transactional:
        raise DefinitionError(
            f"{fallback.signature.place}: the fallback of '{node.name}' takes no Transaction, but the step does: its "
            "undo could not tell which of them happened\n  remedy: take a Transaction in the fallback, or in neither"
        )


def _check_heartbeat(node: Declared) -> None:
    """Who takes no `Context` could never say that it is alive."""
    step = node.handlers.get("step")
    if node.heartbeat_timeout is None or step is None:
        return
    if all(parameter.source != "context" for parameter in step.parameters):
        raise DefinitionError(
            f"{step.signature.place}: step '{node.name}' has a heartbeat_timeout, but takes no Context: it could never "
            "say that it is alive\n  remedy: take `context: Context` and call `context.heartbeat()` again and again "
            "(an `async def` awaits it), or leave heartbeat_timeout out"
        )


def _check_values(nodes: Mapping[str, Declared], node: Declared) -> None:
    """What stands beside a step need not have happened when it is undone or asked for (def_R2)."""
    before = _ancestors(nodes)[node.name]
    for role in ("undo", "probe"):
        handler = node.handlers.get(role)
        for parameter in handler.parameters if handler is not None else ():
            if handler is None or parameter.source != "node" or parameter.of in before:
                continue
            annotation = handler.signature.parameters[parameter.name]
            bare, shape = given_of(annotation)
            if not accepts(bare, NOTHING):
                right = optional(bare) if shape is None else with_given(optional(bare), shape)
                raise DefinitionError(
                    f"{handler.signature.place}: parameter '{parameter.name}' of {role} '{node.name}' is "
                    f"{type_name(annotation)}, but '{parameter.of}' need not have ended when '{node.name}' runs\n"
                    f"  remedy: annotate `{parameter.name}: {type_name(right)}`, or let '{node.name}' take it too"
                )


def _result_from(saga: "Saga[Any, Any]") -> str | None:
    if saga.result is None:
        return None
    loud = [node for node in saga.graph.nodes.values() if not node.silent]
    givers = [node.name for node in loud if node.seen == saga.result]
    if len(givers) != 1:
        perhaps = [
            f" ('{node.name}' gives {type_name(node.seen)}: {node.kind_of_skip})"
            for node in loud
            if node.seen == optional(saga.result) and node.seen != node.gives
        ]
        raise DefinitionError(
            f"saga '{saga.name}' promises result={type_name(saga.result)}; steps that give it: "
            f"{', '.join(givers) or 'none'}{''.join(perhaps) if not givers else ''}; exactly one is needed"
        )
    return givers[0]


def _paths(nodes: Mapping[str, Declared]) -> tuple[tuple[str, Any], ...]:
    found: dict[tuple[str, Any], None] = {}
    for node in nodes.values():
        for path in (node.when, node.unless):
            if path is not None:
                found[path, "when"] = None
        if node.each is not None:
            found[node.each, "each"] = None
        if node.moment is not None:
            found[node.moment, "moment"] = None
    return tuple(sorted(found))


def _resources(saga: "Saga[Any, Any]", nodes: tuple[Node, ...]) -> tuple[str, ...]:
    """What handlers take of the saga's resources, in the order in which it names them."""
    handlers = [handler for node in nodes for handler in (node.handler, node.undo, node.probe, node.fallback)]
    used = {name for handler in handlers if handler is not None for name in handler.resources}
    named = [kind.__qualname__ for kind in saga.graph.resources if kind.__qualname__ in used]
    return tuple(named + sorted(used.difference(named)))


def _node(node: Declared, step_class: StepClass, defaults: Defaults) -> Node:
    probe = node.handlers.get("probe")
    return Node(
        name=node.name,
        kind=node.kind,
        step_class=step_class,
        after=tuple(sorted(node.after)),
        handler=_handler(node, "step", defaults),
        undo=_handler(node, "undo", defaults),
        probe=_handler(node, "probe", defaults),
        probe_decides=probe is not None and decides(probe.signature),
        fallback=_handler(node, "fallback", defaults),
        when=node.when,
        unless=node.unless,
        each=node.each,
        concurrency=node.concurrency,
        item_failure=node.item_failure,
        schedule_timeout=node.schedule_timeout,
        heartbeat_timeout=node.heartbeat_timeout,
        breaker=node.breaker.policy if node.breaker is not None else None,
        queue=node.queue,
        priority=node.priority,
        gives=type_name(node.seen),
        result_schema={} if node.silent else schema_of(node.gives, f"what '{node.name}' gives"),
        timeout=node.timeout,
        on_timeout=node.on_timeout,
        length=node.length,
        moment=node.moment,
        child=node.child.name if node.child is not None else None,
        child_input=node.child_input,
    )


def _handler(node: Declared, role: Role, defaults: Defaults) -> Handler | None:
    handler: DeclaredHandler | None = node.handlers.get(role)
    if handler is None:
        return None
    delays = defaults.undo_delays if role == "undo" else defaults.delays
    timeout = handler.timeout
    if timeout is None:
        step = node.handlers["step"]
        timeout = step.timeout if step.timeout is not None and role != "step" else defaults.timeout_seconds
    if handler.transactional:
        timeout = min(timeout, 10.0)
    return Handler(
        function=handler.signature.name,
        parameters=handler.parameters,
        transactional=handler.transactional,
        timeout=timeout,
        retry=handler.retry if handler.retry is not None else RetryPolicy(delays, defaults.jitter),
    )


def unsupported(manifest: Manifest) -> list[str]:
    """What of a saga this version cannot run yet, each by name; a start of such a saga is refused."""
    found: list[str] = []
    for node in manifest.nodes:
        if node.breaker is not None:
            found.append(f"breaker '{node.breaker.name}' of step '{node.name}'")
    return found


def unsupported_in(saga: "Saga[Any, Any]") -> list[str]:
    """What of a sealed saga and its children this version cannot run yet."""
    return [found for one in saga.family() for found in unsupported(one.seal().manifest)]

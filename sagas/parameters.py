"""What each parameter of a handler receives (def_R2), and what is said when nothing gives it (api.md section 2)."""

from difflib import get_close_matches

from sagas.annotations import Signature
from sagas.context import Context, Transaction
from sagas.declared import Declared, DeclaredHandler, Graph
from sagas.errors import DefinitionError
from sagas.forms import (
    NOTHING,
    Form,
    Shape,
    accepts,
    given_of,
    optional,
    type_name,
    wants_given,
    with_given,
    without_none,
)
from sagas.manifest import Parameter, RetryPolicy, Role
from sagas.resources import registered
from sagas.returns import check_readable


def bind(
    graph: Graph, node: Declared, role: Role, signature: Signature, timeout: float | None, retry: RetryPolicy | None
) -> DeclaredHandler:
    """Find the source of every parameter; edges that they make are added to the node.

    Raises:
        DefinitionError: nothing gives a parameter, or gives it in another type.
    """
    found: list[Parameter] = []
    resources: dict[str, type] = {}
    for name, annotation in signature.parameters.items():
        own = f"{signature.place}: parameter '{name}' of {role} '{node.name}'"
        parameter = _source(graph, node, role, signature, own, name, annotation)
        found.append(parameter)
        if parameter.source == "resource":
            resources[name] = annotation
        if parameter.source == "node" and role in ("step", "fallback") and parameter.of is not None:
            node.after.add(parameter.of)
    return DeclaredHandler(signature, tuple(found), resources, timeout, retry)


def _source(
    graph: Graph, node: Declared, role: Role, signature: Signature, own: str, name: str, annotation: Form
) -> Parameter:
    if name == "item":
        if node.each is None:
            raise DefinitionError(f'{own}: only a step with `each` has items\n  remedy: say each="PATH"')
        _fits(own, name, annotation, node.element, f"an element of '{node.each}' is")
        return Parameter(name, "item")
    if name == "result" and role in ("undo", "probe"):
        return _own_result(node, role, own, annotation)
    if name == node.name and role == "fallback":
        raise DefinitionError(
            f"{own}: '{name}' has failed and gave nothing\n"
            "  remedy: drop the parameter; `context.cause` says why it failed"
        )
    if name == node.name and role == "step":
        raise DefinitionError(
            f"{own}: '{name}' is what the step itself gives\n"
            "  remedy: rename the parameter, or name the step for what it gives"
        )
    if name == node.name:
        raise DefinitionError(
            f"{own}: a step's own result is called `result`\n  remedy: rename the parameter to `result`"
        )
    if name in graph.nodes:
        if role == "fallback" and not graph.stands_above(name, node):
            raise DefinitionError(
                f"{own}: '{name}' is declared below '{node.name}', which would wait for it\n"
                f"  remedy: declare '{name}' above '{node.name}', or drop the parameter"
            )
        return _of_node(graph.nodes[name], own, name, annotation)
    parameter, use = _by_type(graph, name, annotation)
    if parameter is None:
        raise DefinitionError(_nothing_gives(graph, own, name, annotation, node))
    graph.taken.setdefault(name, (signature.name, use))
    return parameter


def _own_result(node: Declared, role: Role, own: str, annotation: Form) -> Parameter:
    """A probe is asked when nobody knows the result; whether an undo may have it is known when the saga is sealed."""
    if not accepts(annotation, node.gives):
        raise DefinitionError(
            f"{own} is {type_name(annotation)}, but '{node.name}' gives {type_name(node.gives)}\n"
            f"  remedy: annotate `result: {type_name(optional(node.gives))}`"
        )
    if role == "probe" and not accepts(annotation, NOTHING):
        raise DefinitionError(
            f"{own} is {type_name(annotation)}, but a probe is asked when nobody knows the result\n"
            f"  remedy: annotate `result: {type_name(optional(annotation))}`, or drop the parameter"
        )
    check_readable(annotation, own)
    return Parameter("result", "result")


def _of_node(source: Declared, own: str, name: str, annotation: Form) -> Parameter:
    if source.silent:
        raise DefinitionError(f"{own}: '{name}' gives nothing\n  remedy: drop the parameter and say after=[{name}]")
    bare, shape = given_of(annotation)
    due: Shape = "whole" if source.each is None else "each"
    if shape not in (None, due):
        raise DefinitionError(
            f"{own} is {type_name(annotation)}, but '{name}' gives {type_name(source.seen)} "
            f"with {'one Given' if due == 'whole' else 'a Given for each item'}\n"
            f"  remedy: annotate `{name}: {type_name(with_given(source.seen, due))}`"
        )
    if not accepts(bare, source.seen):
        may_be_none = source.seen != source.gives and accepts(bare, without_none(source.seen))
        skipped = f" ({source.kind_of_skip})" if may_be_none else ""
        right = with_given(source.seen, due) if wants_given(annotation) else source.seen
        raise DefinitionError(
            f"{own} is {type_name(annotation)}, but '{name}' gives {type_name(source.seen)}{skipped}\n"
            f"  remedy: annotate `{name}: {type_name(right)}`"
        )
    check_readable(bare, own)
    return Parameter(name, "node", name, shape is not None)


def _fits(own: str, name: str, annotation: Form, given: Form, says: str) -> None:
    if not accepts(annotation, given):
        raise DefinitionError(
            f"{own} is {type_name(annotation)}, but {says} {type_name(given)}\n"
            f"  remedy: annotate `{name}: {type_name(given)}`"
        )
    check_readable(annotation, own)


def _by_type(graph: Graph, name: str, annotation: Form) -> tuple[Parameter | None, str]:
    if annotation is Context:
        return Parameter(name, "context"), "the context of its call"
    if annotation is Transaction:
        return Parameter(name, "transaction"), "its transaction"
    if annotation == graph.input:
        return Parameter(name, "input"), "the saga's input"
    if annotation in graph.resources or registered(annotation):
        return Parameter(name, "resource", annotation.__qualname__), f"the resource {annotation.__qualname__}"
    return None, ""


def _nothing_gives(graph: Graph, own: str, name: str, annotation: Form, node: Declared) -> str:
    earlier = [other for other in graph.nodes.values() if not other.silent and other.name != node.name]
    givers = [other.name for other in earlier if other.seen == annotation]
    lines = [f"{own}: nothing gives it"]
    close = get_close_matches(name, [other.name for other in earlier], n=1, cutoff=0.7)
    if close:
        lines.append(f"  did you mean '{close[0]}'?")
    elif givers and annotation is not NOTHING:
        lines.append(f"  {type_name(annotation)} is given by step '{givers[0]}': name the parameter '{givers[0]}'")
    steps = ", ".join(f"{other.name}: {type_name(other.seen)}" for other in earlier) or "none"
    lines.append(f"  earlier steps of '{graph.saga}': {steps}")
    resources = ", ".join(kind.__qualname__ for kind in graph.resources) or "none"
    lines.append(f"  input: {type_name(graph.input)}; resources: {resources}")
    lines.append(
        f"  remedy: declare the step above this one, or add {type_name(annotation)} to Saga(..., resources=[...])"
    )
    return "\n".join(lines)

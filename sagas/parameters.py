"""What each parameter of a handler receives (def_R2), and what is said when nothing gives it (api.md section 2)."""

from difflib import get_close_matches

from sagas.annotations import NOTHING, Form, Signature, accepts, given_of, optional, type_name, without_none
from sagas.context import Context, Transaction
from sagas.declared import Declared, DeclaredHandler, Graph
from sagas.errors import DefinitionError
from sagas.manifest import Parameter, RetryPolicy, Role
from sagas.resources import registered


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
        parameter = _source(graph, node, role, signature, name, annotation)
        found.append(parameter)
        if parameter.source == "resource":
            resources[name] = annotation
        if parameter.source == "node" and role in ("step", "fallback") and parameter.of is not None:
            node.after.add(parameter.of)
    return DeclaredHandler(signature, tuple(found), resources, timeout, retry)


def _source(graph: Graph, node: Declared, role: Role, signature: Signature, name: str, annotation: Form) -> Parameter:
    own = f"{signature.place}: parameter '{name}' of {role} '{node.name}'"
    if name == "item":
        if node.each is None:
            raise DefinitionError(f'{own}: only a step with `each` has items\n  remedy: say each="PATH"')
        _fits(own, name, annotation, node.element, f"an element of '{node.each}' is")
        return Parameter(name, "item")
    if name == "result" and role in ("undo", "probe"):
        if not accepts(annotation, node.gives):
            raise DefinitionError(
                f"{own} is {type_name(annotation)}, but '{node.name}' gives {type_name(node.gives)}\n"
                f"  remedy: annotate `result: {type_name(optional(node.gives))}`"
            )
        return Parameter(name, "result")
    if name == node.name and role != "step":
        raise DefinitionError(
            f"{own}: a step's own result is called `result`\n  remedy: rename the parameter to `result`"
        )
    if name in graph.nodes and name != node.name:
        return _of_node(graph.nodes[name], own, name, annotation)
    parameter, use = _by_type(graph, name, annotation)
    if parameter is None:
        raise DefinitionError(_nothing_gives(graph, own, name, annotation, node))
    graph.taken.setdefault(name, (signature.name, use))
    return parameter


def _of_node(source: Declared, own: str, name: str, annotation: Form) -> Parameter:
    if source.silent:
        raise DefinitionError(f"{own}: '{name}' gives nothing\n  remedy: drop the parameter and say after=[{name}]")
    bare, given = given_of(annotation)
    if not accepts(bare, source.seen):
        may_be_none = source.seen != source.gives and accepts(bare, without_none(source.seen))
        skipped = f" ({source.kind_of_skip})" if may_be_none else ""
        raise DefinitionError(
            f"{own} is {type_name(annotation)}, but '{name}' gives {type_name(source.seen)}{skipped}\n"
            f"  remedy: annotate `{name}: {type_name(source.seen)}`"
        )
    return Parameter(name, "node", name, given)


def _fits(own: str, name: str, annotation: Form, given: Form, says: str) -> None:
    if not accepts(annotation, given):
        raise DefinitionError(
            f"{own} is {type_name(annotation)}, but {says} {type_name(given)}\n"
            f"  remedy: annotate `{name}: {type_name(given)}`"
        )


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

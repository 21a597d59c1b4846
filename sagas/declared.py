"""A saga while it is being declared: what its nodes are, before the graph is checked and sealed."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from sagas.annotations import Signature
from sagas.breaker import Breaker
from sagas.errors import DefinitionError
from sagas.forms import NOTHING, Form, list_of, optional
from sagas.manifest import NodeKind, Parameter, Priority, RetryPolicy, Role
from sagas.options import Said
from sagas.paths import follow

RESERVED = frozenset({"item", "result", "input", "start"})
NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


@dataclass(frozen=True)
class DeclaredHandler:
    """One function of a node, with where each of its arguments comes from. Without `retry` the defaults hold."""

    signature: Signature
    parameters: tuple[Parameter, ...]
    resources: dict[str, type]
    timeout: float | None = None
    retry: RetryPolicy | None = None

    @property
    def transactional(self) -> bool:
        """Whether it takes a `Transaction`."""
        return any(parameter.source == "transaction" for parameter in self.parameters)


@dataclass
class Declared:
    """One node. `gives` is the type that one execution gives, or that a signal or child brings.

    `place` is where it is declared, for messages.
    """

    name: str
    kind: NodeKind
    place: str
    gives: Form = NOTHING
    after: set[str] = field(default_factory=set[str])
    handlers: dict[Role, DeclaredHandler] = field(default_factory=dict[Role, DeclaredHandler])
    pivot: bool = False
    when: str | None = None
    unless: str | None = None
    each: str | None = None
    element: Form = NOTHING
    concurrency: int | None = None
    item_failure: Literal["fail", "leave_out"] = "fail"
    schedule_timeout: float | None = None
    heartbeat_timeout: float | None = None
    breaker: Breaker | None = None
    queue: str = "default"
    priority: Priority = "normal"
    timeout: float | None = None
    on_timeout: Literal["compensate", "continue"] | None = None
    length: float | None = None
    moment: str | None = None
    child: Any = None
    child_input: str | None = None

    @property
    def seen(self) -> Form:
        """The type that others see: a list under `each`, perhaps `None` when it may be skipped or unanswered."""
        form = self.gives
        if self.each is not None:
            form = list_of(optional(form) if self.item_failure == "leave_out" else form)
        maybe = self.when is not None or self.unless is not None or self.on_timeout == "continue"
        return optional(form) if maybe else form

    @property
    def silent(self) -> bool:
        """Whether it gives nothing that a parameter could take."""
        return self.gives is NOTHING or self.kind in ("sleep", "sleep_until")

    @property
    def kind_of_skip(self) -> str:
        """Why others may get `None`, for messages."""
        if self.on_timeout == "continue":
            return "it goes on without an answer, so it may be missing"
        return f"it has `{'when' if self.when is not None else 'unless'}`, so it may be skipped"


@dataclass
class Graph:
    """What is declared of one saga so far."""

    saga: str
    input: Form
    resources: tuple[type, ...]
    nodes: dict[str, Declared] = field(default_factory=dict[str, Declared])
    taken: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Parameter names that handlers use for something else than a node: (function, what for)."""

    def check_name(self, place: str, name: str, decorator: str) -> None:
        """Whether a node may be called so (def_R1, def_R3).

        Raises:
            DefinitionError: it may not.
        """
        remedy = f'give the step another name: {decorator}("...")'
        check_spelling(place, name, "step", remedy)
        said = Said(place, f"step '{name}'")
        if name in RESERVED:
            raise said.error(f"'{name}' is reserved: it means something else in handlers and paths", remedy)
        if name in self.nodes:
            raise said.error(f"saga '{self.saga}' has a step '{name}' already, at {self.nodes[name].place}", remedy)
        if name in self.taken:
            function, use = self.taken[name]
            raise DefinitionError(
                f"step '{name}' would change what '{name}' means: {function}({name}) already takes it as {use}\n"
                f"  remedy: {remedy}"
            )

    def stands_above(self, name: str, node: Declared) -> bool:
        """Whether a node is declared above another, which may not be declared yet (def_R3)."""
        names = list(self.nodes)
        return name in names[: names.index(node.name)] if node.name in names else name in names

    def path(self, path: str, what: str) -> tuple[Form, str | None]:
        """The type behind a path and the node that it begins at, `None` for the input.

        Raises:
            DefinitionError: it begins at nothing that stands above, or names no field.
        """
        head, *fields = path.split(".")
        if head == "input":
            return follow(self.input, fields, what), None
        if head not in self.nodes:
            above = ", ".join(self.nodes) or "none"
            raise DefinitionError(f"{what}: '{head}' is neither `input` nor a step above; steps above: {above}")
        return follow(self.nodes[head].seen, fields, what), head


def check_spelling(place: str, name: str, what: str, remedy: str) -> None:
    """Whether a saga or a node may be written so (def_R27).

    Raises:
        DefinitionError: it may not.
    """
    given: Any = name
    if not isinstance(given, str) or not NAME.fullmatch(given):
        shown = f"'{given}'" if isinstance(given, str) else repr(given)
        allowed = "small letters, digits and _ are allowed, a letter first, at most 100"
        raise Said(place, what).error(f"{shown} is no name for a {what}: {allowed}", remedy)


def path_label(kind: str, node: str, saga: str, path: str) -> str:
    """How messages about a path begin."""
    return f"{kind} of step '{node}' of saga '{saga}': path '{path}'"

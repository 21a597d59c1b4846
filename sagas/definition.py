"""How a user declares a saga: `Saga` and its decorators (api.md)."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, overload

from sagas.annotations import NOTHING, accepts, place_of, signature_of, type_name
from sagas.breaker import Breaker
from sagas.declared import Declared, Graph, path_label
from sagas.durations import Seconds, in_seconds
from sagas.errors import DefinitionError
from sagas.manifest import Priority, Role
from sagas.nodes import Child, Decorator, Node, Signal, Step
from sagas.parameters import bind
from sagas.paths import check_condition, check_list
from sagas.retry import Retry
from sagas.returns import check_input, check_returns, schema_of
from sagas.seal import Defaults, Sealed, seal

I = TypeVar("I")  # noqa: E741 - the input
J = TypeVar("J")
O = TypeVar("O")  # noqa: E741 - the output
M = TypeVar("M")
T = TypeVar("T")
TRANSACTION_SECONDS_MAX = 10.0


class Saga(Generic[I, O]):
    """A process whose steps are done, or undone in order.

    `input` is a pydantic model or a dataclass; `result` the type that exactly one step gives; `deadline` the longest
    time to the end, in seconds or as a timedelta; `resources` the types of clients that handlers take (def_R5).

    Raises:
        DefinitionError: the name or the input does not fit.
    """

    @overload
    def __init__(
        self: "Saga[J, None]",
        name: str,
        *,
        input: type[J],
        deadline: Seconds | None = ...,
        resources: Sequence[type] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: "Saga[J, T]",
        name: str,
        *,
        input: type[J],
        result: type[T],
        deadline: Seconds | None = ...,
        resources: Sequence[type] = ...,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        *,
        input: type[Any],
        result: type[Any] | None = None,
        deadline: Seconds | None = None,
        resources: Sequence[type] = (),
    ) -> None:
        self.name = name
        self.result = result
        self.deadline = None if deadline is None else in_seconds(deadline)
        self.graph = Graph(saga=name, input=input, resources=tuple(resources))
        Graph(saga=name, input=input, resources=()).check_name(name, "Saga")
        self.input_schema = check_input(name, input)
        self._sealed: Sealed | None = None

    def __repr__(self) -> str:
        """The saga by its name."""
        return f"<saga {self.name}>"

    def step(
        self,
        name: str | None = None,
        /,
        *,
        after: Sequence[Node] = (),
        when: str | None = None,
        unless: str | None = None,
        each: str | None = None,
        concurrency: int | None = None,
        item_failure: Literal["fail", "leave_out"] = "fail",
        pivot: bool = False,
        timeout: Seconds | None = None,
        schedule_timeout: Seconds | None = None,
        heartbeat_timeout: Seconds | None = None,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        queue: str = "default",
        priority: Priority = "normal",
    ) -> Decorator:
        """Declare a step; `name` is stored in every event (def_R1). Lengths are in seconds or timedeltas.

        Raises:
            DefinitionError: what is said does not fit what stands above it.
        """
        if callable(name):
            raise DefinitionError(f"{place_of(name)}: write `@{self.name}.step()`: the parentheses are needed")
        if concurrency is not None and concurrency < 1:
            raise DefinitionError(f"concurrency={concurrency} of step '{name}': at least 1 is needed")

        def declare(function: Callable[..., Any]) -> Step[Any, Any]:
            declared = self._declare(name or function.__name__, "step", after, f"@{self.name}.step")
            declared.when, declared.unless, declared.each = when, unless, each
            declared.concurrency, declared.item_failure, declared.pivot = concurrency, item_failure, pivot
            declared.schedule_timeout = None if schedule_timeout is None else in_seconds(schedule_timeout)
            declared.heartbeat_timeout = None if heartbeat_timeout is None else in_seconds(heartbeat_timeout)
            declared.breaker, declared.queue, declared.priority = breaker, queue, priority
            if pivot and each is not None:
                raise DefinitionError(f"step '{declared.name}' is a pivot and has `each`: nobody could undo half of it")
            self._read_paths(declared)
            self.add_handler(declared, "step", function, timeout, retry)
            self.graph.nodes[declared.name] = declared
            return Step(self, declared, function)

        return declare

    def wait(
        self,
        name: str,
        *,
        model: type[M],
        timeout: Seconds,
        on_timeout: Literal["compensate", "continue"],
        after: Sequence[Node] = (),
    ) -> Signal[M]:
        """Declare a wait for a signal of type `model` (def_R7)."""
        declared = self._declare(name, "signal", after, f"{self.name}.wait")
        declared.gives, declared.timeout, declared.on_timeout = model, in_seconds(timeout), on_timeout
        schema_of(model, f"signal '{name}' of saga '{self.name}'")
        self.graph.nodes[name] = declared
        return Signal(name)

    def sleep(self, name: str, length: Seconds, *, after: Sequence[Node] = ()) -> Node:
        """Declare a pause (def_R7)."""
        declared = self._declare(name, "sleep", after, f"{self.name}.sleep")
        declared.length = in_seconds(length)
        self.graph.nodes[name] = declared
        return Node(name)

    def sleep_until(self, name: str, moment: str, *, after: Sequence[Node] = ()) -> Node:
        """Declare a pause until the instant that the path `moment` names (def_R7)."""
        declared = self._declare(name, "sleep_until", after, f"{self.name}.sleep_until")
        what = path_label("moment", name, self.name, moment)
        form, head = self.graph.path(moment, what)
        if not accepts(datetime | None, form):
            raise DefinitionError(f"{what}: is {type_name(form)}; a datetime with a time zone is needed")
        declared.moment = moment
        declared.after |= {head} if head is not None else set()
        self.graph.nodes[name] = declared
        return Node(name)

    def start(self, name: str, child: "Saga[Any, T]", *, input: str, after: Sequence[Node] = ()) -> Child[T]:
        """Declare a child saga; the path `input` gives its input (def_R7)."""
        declared = self._declare(name, "child", after, f"{self.name}.start")
        what = path_label("input", name, self.name, input)
        form, head = self.graph.path(input, what)
        if not accepts(child.graph.input, form):
            raise DefinitionError(f"{what}: is {type_name(form)}; {child.name} needs {type_name(child.graph.input)}")
        declared.gives = child.result if child.result is not None else NOTHING
        declared.child, declared.child_input = child, input
        declared.after |= {head} if head is not None else set()
        self.graph.nodes[name] = declared
        return Child(name)

    def add_handler(
        self, node: Declared, role: Role, function: Callable[..., Any], timeout: Seconds | None, retry: Retry | None
    ) -> None:
        """Take a function for a role of a node.

        Raises:
            DefinitionError: the role is taken, or the function does not fit.
        """
        self._check_open()
        if role in node.handlers:
            raise DefinitionError(f"{place_of(function)}: step '{node.name}' has an {role} already")
        signature = signature_of(function)
        if role == "step":
            node.gives = NOTHING if signature.returns is None else signature.returns
        check_returns(signature, role, node.name, node.gives)
        seconds = None if timeout is None else in_seconds(timeout)
        handler = bind(self.graph, node, role, signature, seconds, retry.policy if retry is not None else None)
        if handler.transactional and seconds is not None and seconds > TRANSACTION_SECONDS_MAX:
            raise DefinitionError(
                f"{signature.place}: timeout={seconds:g} of {role} '{node.name}': open transactions hold readers back\n"
                f"  remedy: at most {TRANSACTION_SECONDS_MAX:g} s, or no Transaction"
            )
        node.handlers[role] = handler

    def seal(self, defaults: Defaults | None = None) -> Sealed:
        """The finished saga; no step may be added any more (def_R4).

        Raises:
            DefinitionError: the graph does not hold together.
        """
        if self._sealed is None:
            self._sealed = seal(self, defaults or Defaults())
        return self._sealed

    def check(self) -> None:
        """Check the whole graph.

        Raises:
            DefinitionError: it does not hold together.
        """
        self.seal()

    def describe(self) -> str:
        """The saga as a table: who comes after whom, and what happens when something fails."""
        from sagas.describe import describe

        return describe(self.seal())

    def _declare(
        self, name: str, kind: Literal["step", "signal", "sleep", "sleep_until", "child"], after: Sequence[Node],
        decorator: str,
    ) -> Declared:  # fmt: skip
        self._check_open()
        self.graph.check_name(name, decorator)
        for node in after:
            if getattr(node, "name", None) not in self.graph.nodes:
                raise DefinitionError(
                    f"after of '{name}' of saga '{self.name}': {node!r} is no step of this saga\n"
                    "  remedy: name functions, waits and children that are declared above"
                )
        return Declared(name, kind, after={node.name for node in after})

    def _read_paths(self, declared: Declared) -> None:
        for kind, path in (("when", declared.when), ("unless", declared.unless), ("each", declared.each)):
            if path is None:
                continue
            form, head = self.graph.path(path, path_label(kind, declared.name, self.name, path))
            what = f"{kind}='{path}' of step '{declared.name}'"
            if kind == "each":
                declared.element = check_list(form, what)
            else:
                check_condition(form, what)
            declared.after |= {head} if head is not None else set()

    def _check_open(self) -> None:
        if self._sealed is not None:
            raise DefinitionError(
                f"saga '{self.name}' is sealed: it is in use already\n  remedy: declare all its steps in one module"
            )

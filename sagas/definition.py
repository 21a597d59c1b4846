"""How a user declares a saga: `Saga` and its decorators (api.md)."""

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, cast, get_args, overload

from pydantic import NaiveDatetime

from sagas.annotations import Signature, signature_of
from sagas.breaker import Breaker
from sagas.declared import Declared, Graph, check_spelling, path_label
from sagas.durations import Seconds
from sagas.errors import DefinitionError
from sagas.forms import NOTHING, accepts, members, type_name
from sagas.manifest import NodeKind, Priority, Role
from sagas.nodes import Child, Decorator, Node, Signal, Step
from sagas.options import Said
from sagas.parameters import bind
from sagas.paths import check_condition, check_list, follow
from sagas.places import place_of, place_of_caller
from sagas.retry import Retry
from sagas.returns import check_input, check_returns, schema_of
from sagas.seal import Defaults, Sealed, seal

I = TypeVar("I")  # noqa: E741 - the input
J = TypeVar("J")
O = TypeVar("O")  # noqa: E741 - the output
M = TypeVar("M")
T = TypeVar("T")
ItemFailure = Literal["fail", "leave_out"]
OnTimeout = Literal["compensate", "continue"]
TRANSACTION_SECONDS_MAX = 10.0
NO_ITEMS = "only a step with `each` has items"
SAY_EACH = 'say each="PATH"'
ARTICLES: dict[Role, str] = {"step": "a", "undo": "an", "probe": "a", "fallback": "a"}


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
        self.place = place_of_caller()
        self.result = result
        check_spelling(self.place, name, "saga", 'write it like Saga("trip", ...)')
        said = Said(self.place, f"saga '{name}'")
        self.deadline = said.seconds_or_none("deadline", deadline)
        self.graph = Graph(saga=name, input=input, resources=_types(said, resources))
        self.input_schema = check_input(self.place, name, input)
        self._sealed: dict[Defaults, Sealed] = {}

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
        item_failure: ItemFailure = "fail",
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

        def declare(function: Callable[..., Any]) -> Step[Any, Any]:
            signature = signature_of(function)
            called = signature.name if name is None else name
            declared = self._declare(signature.place, called, "step", after, f"@{self.name}.step")
            said = Said(declared.place, f"step '{declared.name}'")
            declared.when, declared.unless = said.path("when", when), said.path("unless", unless)
            declared.each = said.path("each", each)
            declared.concurrency = None if concurrency is None else said.whole("concurrency", concurrency)
            declared.item_failure = said.choice("item_failure", item_failure, get_args(ItemFailure))
            declared.pivot = said.yes_or_no("pivot", pivot)
            declared.schedule_timeout = said.seconds_or_none("schedule_timeout", schedule_timeout)
            declared.heartbeat_timeout = said.seconds_or_none("heartbeat_timeout", heartbeat_timeout)
            declared.breaker = said.kind("breaker", breaker, Breaker, 'say breaker=Breaker("name")')
            declared.queue, declared.priority = said.queue(queue), said.choice("priority", priority, get_args(Priority))
            if each is None:
                _check_without_items(said, concurrency, item_failure)
            elif pivot:
                remedy = "leave one of them out, or do it all in one step"
                raise said.error(
                    f"step '{declared.name}' is a pivot and has `each`: nobody could undo half of it", remedy
                )
            self._read_paths(declared)
            self._add_handler(declared, "step", signature, timeout, retry)
            self.graph.nodes[declared.name] = declared
            return Step(self, declared, function)

        return declare

    def wait(
        self,
        name: str,
        *,
        model: type[M],
        timeout: Seconds,
        on_timeout: OnTimeout,
        after: Sequence[Node] = (),
    ) -> Signal[M]:
        """Declare a wait for a signal of type `model` (def_R7)."""
        declared = self._declare(place_of_caller(), name, "signal", after, f"{self.name}.wait")
        said = Said(declared.place, f"wait '{name}'")
        declared.timeout = said.seconds("timeout", timeout)
        declared.on_timeout = said.choice("on_timeout", on_timeout, get_args(OnTimeout))
        declared.gives = model
        schema_of(model, f"{declared.place}: signal '{name}' of saga '{self.name}'")
        self.graph.nodes[name] = declared
        return Signal(declared)

    def sleep(self, name: str, length: Seconds, *, after: Sequence[Node] = ()) -> Node:
        """Declare a pause (def_R7)."""
        declared = self._declare(place_of_caller(), name, "sleep", after, f"{self.name}.sleep")
        declared.length = Said(declared.place, f"sleep '{name}'").seconds("length", length, zero=True)
        self.graph.nodes[name] = declared
        return Node(declared)

    def sleep_until(self, name: str, moment: str, *, after: Sequence[Node] = ()) -> Node:
        """Declare a pause until the instant that the path `moment` names (def_R7)."""
        declared = self._declare(place_of_caller(), name, "sleep_until", after, f"{self.name}.sleep_until")
        Said(declared.place, f"sleep_until '{name}'").path("moment", moment)
        what = path_label("moment", name, self.name, moment)
        form, head = self.graph.path(moment, what)
        if not accepts(datetime | None, form) or NaiveDatetime in members(form):
            raise DefinitionError(f"{what}: is {type_name(form)}; a datetime with a time zone is needed")
        declared.moment = moment
        declared.after |= {head} if head is not None else set()
        self.graph.nodes[name] = declared
        return Node(declared)

    def start(self, name: str, child: "Saga[Any, T]", *, input: str, after: Sequence[Node] = ()) -> Child[T]:
        """Declare a child saga; the path `input` gives its input (def_R7)."""
        declared = self._declare(place_of_caller(), name, "child", after, f"{self.name}.start")
        said = Said(declared.place, f"child '{name}'")
        said.kind("child", child, Saga, "name the saga that is to be started")
        said.path("input", input)
        if self in child.family():
            raise said.refuse("child", child, f"it would start {self!r} again, without end", "start another saga")
        what = path_label("input", name, self.name, input)
        form, head = self.graph.path(input, what)
        if not accepts(child.graph.input, form):
            raise DefinitionError(f"{what}: is {type_name(form)}; {child.name} needs {type_name(child.graph.input)}")
        declared.gives = child.result if child.result is not None else NOTHING
        declared.child, declared.child_input = child, input
        declared.after |= {head} if head is not None else set()
        self.graph.nodes[name] = declared
        return Child(declared)

    def family(self) -> "list[Saga[Any, Any]]":
        """The saga, its children, and theirs."""
        children = [node.child for node in self.graph.nodes.values() if node.child is not None]
        return [self, *(one for child in children for one in child.family())]

    def add_handler(
        self, node: Declared, role: Role, function: Callable[..., Any], timeout: Seconds | None, retry: Retry | None
    ) -> None:
        """Take a function for a role of a node.

        Raises:
            DefinitionError: the role is taken, or the function does not fit.
        """
        place = place_of(function)
        self._check_open(place)
        if role in node.handlers:
            there = node.handlers[role].signature.place
            remedy = f"leave one of them out: a step has one {role}"
            raise Said(place, role).error(f"step '{node.name}' has {ARTICLES[role]} {role} already, at {there}", remedy)
        self._add_handler(node, role, signature_of(function), timeout, retry)

    def _add_handler(
        self, node: Declared, role: Role, signature: Signature, timeout: Seconds | None, retry: Retry | None
    ) -> None:
        if role == "step":
            node.gives = signature.returns
        said = Said(signature.place, f"{role} '{node.name}'")
        seconds = said.seconds_or_none("timeout", timeout)
        policy = said.kind("retry", retry, Retry, "say retry=Retry(delays=[1, 5, 30])")
        check_returns(signature, role, node.name, node.gives)
        handler = bind(self.graph, node, role, signature, seconds, policy.policy if policy is not None else None)
        if handler.transactional and not signature.is_async:
            raise DefinitionError(
                f"{signature.place}: {role} '{node.name}' takes a Transaction, whose methods must be awaited\n"
                "  remedy: write it with `async def`"
            )
        if handler.transactional and seconds is not None and seconds > TRANSACTION_SECONDS_MAX:
            raise DefinitionError(
                f"{signature.place}: timeout={seconds:g} of {role} '{node.name}': open transactions hold readers back\n"
                f"  remedy: at most {TRANSACTION_SECONDS_MAX:g} s, or no Transaction"
            )
        node.handlers[role] = handler

    def seal(self, defaults: Defaults | None = None) -> Sealed:
        """The finished saga; no step may be added to it or its children any more (def_R4).

        What holds where it says nothing is for whoever runs it to say: a module that checks its saga says nothing yet.

        Raises:
            DefinitionError: the graph does not hold together.
        """
        wanted = defaults or Defaults()
        if wanted not in self._sealed:
            for node in self.graph.nodes.values():
                if node.child is not None:
                    node.child.seal(wanted)
            self._sealed[wanted] = seal(self, wanted)
        return self._sealed[wanted]

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

    def _declare(self, place: str, name: str, kind: NodeKind, after: Sequence[Node], decorator: str) -> Declared:
        self._check_open(place)
        self.graph.check_name(place, name, decorator)
        given: Any = after
        said = Said(place, f"'{name}'")
        remedy = "name functions, waits and children that are declared above"
        if not isinstance(given, list | tuple):
            raise said.refuse("after", after, "a list is needed", remedy)
        for node in cast("list[object]", given):
            if not isinstance(node, Node) or not node.stands_in(self.graph):
                raise said.error(f"after of '{name}': {node!r} is no step of saga '{self.name}'", remedy)
        return Declared(name, kind, place, after={node.name for node in after})

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
        per = declared.breaker.policy.per if declared.breaker is not None else None
        if per is not None:
            declared.after |= self._head_of_breaker(declared, per)

    def _head_of_breaker(self, declared: Declared, per: str) -> set[str]:
        what = path_label("breaker", declared.name, self.name, per)
        first, *fields = per.split(".")
        if first != "item":
            _, head = self.graph.path(per, what)
            return {head} if head is not None else set()
        if declared.each is None:
            raise DefinitionError(f"{what}: {NO_ITEMS}\n  remedy: {SAY_EACH}")
        follow(declared.element, fields, what)
        return set()

    def _check_open(self, place: str) -> None:
        if self._sealed:
            remedy = "declare all its steps in one module, above its check()"
            raise Said(place, "saga").error(f"saga '{self.name}' is sealed: it is in use already", remedy)


def _check_without_items(said: Said, concurrency: int | None, item_failure: ItemFailure) -> None:
    """What is said of items is refused where there are none."""
    if concurrency is not None:
        raise said.refuse("concurrency", concurrency, NO_ITEMS, SAY_EACH)
    if item_failure != "fail":
        raise said.refuse("item_failure", item_failure, NO_ITEMS, SAY_EACH)


def _types(said: Said, resources: Sequence[type]) -> tuple[type, ...]:
    given: Any = resources
    remedy = "name the types of clients that handlers take, such as resources=[StockClient]"
    if not isinstance(given, list | tuple):
        raise said.refuse("resources", given, "a list of types is needed", remedy)
    for kind in cast("list[object]", given):
        if not isinstance(kind, type):
            raise said.refuse("resources", [kind], "it is no type", remedy)
    for first, second in itertools.combinations(dict.fromkeys(resources), 2):
        if first.__qualname__ == second.__qualname__:  # manifests and workers know them by name
            both = f"two types are called {first.__qualname__}: in {first.__module__} and in {second.__module__}"
            raise said.refuse("resources", [first, second], both, "rename one of them")
    return tuple(resources)

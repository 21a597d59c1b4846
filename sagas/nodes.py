"""The nodes of a saga as users hold them: what `after` may name, and the decorators that a step offers."""

import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from sagas.answers import CannotTell, DidNotHappen, Happened
from sagas.declared import Declared, Graph
from sagas.durations import Seconds
from sagas.manifest import Role
from sagas.options import Said
from sagas.places import place_of_caller
from sagas.retry import Retry

if TYPE_CHECKING:
    from sagas.definition import Saga

M = TypeVar("M")
O = TypeVar("O")  # noqa: E741 - the output
R = TypeVar("R")
P = ParamSpec("P")
Q = ParamSpec("Q")


class Node:
    """Whatever `after` may name."""

    def __init__(self, declared: Declared) -> None:
        self.name = declared.name
        self._declared = declared

    def stands_in(self, graph: Graph) -> bool:
        """Whether it is a node of this saga, and not of another that has one of its name."""
        return graph.nodes.get(self.name) is self._declared

    def __repr__(self) -> str:
        """The node by its name."""
        return f"<{type(self).__name__.lower()} {self.name}>"


class Signal(Node, Generic[M]):
    """A wait for something that somebody sends."""


class Child(Node, Generic[O]):
    """Another saga that this one starts and waits for."""


class Step(Node, Generic[P, R]):
    """A declared step. It is called like the function that it wraps, so a handler is tested as a plain function."""

    def __init__(self, saga: "Saga[Any, Any]", declared: Declared, function: Callable[P, Any]) -> None:
        super().__init__(declared)
        self._saga = saga
        self._function = function
        functools.update_wrapper(self, function)
        for name in ("__code__", "__defaults__", "__kwdefaults__"):  # so `inspect` sees a (coroutine) function
            setattr(self, name, getattr(function, name))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Call the function itself."""
        return self._function(*args, **kwargs)  # type: ignore[no-any-return] # whatever the function gives

    @overload
    def undo(self, handler: Callable[Q, Coroutine[Any, Any, None]], /) -> Callable[Q, Coroutine[Any, Any, None]]: ...
    @overload
    def undo(self, handler: Callable[Q, None], /) -> Callable[Q, None]: ...
    @overload
    def undo(self, /, *, timeout: Seconds = ..., retry: Retry = ...) -> "UndoDecorator": ...
    def undo(
        self,
        handler: Callable[..., Any] | None = None,
        /,
        *,
        timeout: Seconds | None = None,
        retry: Retry | None = None,
    ) -> Callable[..., Any]:
        """Declare what undoes the step (def_R10, rule B3). `timeout` is in seconds."""

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            self._saga.add_handler(self._declared, "undo", function, timeout, retry)
            return function

        return declare if handler is None else declare(handler)

    @overload
    def probe(
        self, handler: Callable[Q, Coroutine[Any, Any, Happened[R] | DidNotHappen | CannotTell]], /
    ) -> Callable[Q, Coroutine[Any, Any, Happened[R] | DidNotHappen | CannotTell]]: ...
    @overload
    def probe(
        self, handler: Callable[Q, Happened[R] | DidNotHappen | CannotTell], /
    ) -> Callable[Q, Happened[R] | DidNotHappen | CannotTell]: ...
    def probe(self, handler: Callable[..., Any] | None = None, /, **options: object) -> Callable[..., Any]:
        """Declare who can say whether the step happened (rule O3). It runs within the step's timeout."""
        return self._bare("probe", handler, options)

    @overload
    def fallback(self, handler: Callable[Q, Coroutine[Any, Any, R]], /) -> Callable[Q, Coroutine[Any, Any, R]]: ...
    @overload
    def fallback(self, handler: Callable[Q, R], /) -> Callable[Q, R]: ...
    def fallback(self, handler: Callable[..., Any] | None = None, /, **options: object) -> Callable[..., Any]:
        """Declare what runs when the step failed for good; its result stands for the step's (def_R18).

        It runs within the step's timeout, and once.
        """
        return self._bare("fallback", handler, options)

    def _bare(self, role: Role, handler: Callable[..., Any] | None, options: dict[str, object]) -> Callable[..., Any]:
        """Declare a role that takes no options: those of the step hold for it."""
        if handler is None or options:
            named = getattr(self, "__name__", self.name)
            remedy = f"write `@{named}.{role}` without parentheses; the step's own timeout holds for it"
            raise Said(place_of_caller(), role).error(f"the {role} of '{self.name}' takes no options", remedy)
        self._saga.add_handler(self._declared, role, handler, None, None)
        return handler


class UndoDecorator(Protocol):
    """What `undo(timeout=…, retry=…)` gives."""

    @overload
    def __call__(
        self, handler: Callable[Q, Coroutine[Any, Any, None]], /
    ) -> Callable[Q, Coroutine[Any, Any, None]]: ...
    @overload
    def __call__(self, handler: Callable[Q, None], /) -> Callable[Q, None]: ...


class Decorator(Protocol):
    """What `Saga.step` gives."""

    @overload
    def __call__(self, handler: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, handler: Callable[P, R], /) -> Step[P, R]: ...

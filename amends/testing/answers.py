"""What a test says in place of handlers: values, exceptions, unknowns, functions, or one of these for each attempt."""

import asyncio
import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

from amends.testing.virtual import IN_HANDLER
from sagas.binding import BoundHandler
from sagas.context import Transaction
from sagas.definition import Saga
from sagas.errors import ResultError
from sagas.events import Json
from sagas.fields import is_class
from sagas.manifest import Parameter, Role
from sagas.nodes import Step
from sagas.seal import Sealed

CALL = " call"
"""The name, no handler's, under which a made-up handler gets the context of its call."""
ROLES: tuple[Role, ...] = ("step", "undo", "probe", "fallback")
Place = tuple[str, Role]


class Unknown:
    """An answer: nobody knows whether the step happened. `happened` is what is true all the same.

    A plain step times out. A transaction step loses the answer of its commit; where that happened, `result` stands.
    """

    def __init__(self, *, happened: bool = False, result: object = None) -> None:
        self.happened = happened
        self.result = result


class NotStarted:
    """An answer: no worker begins the step, so it fails when its `schedule_timeout` is over."""


class LostError(Exception):
    """The commit of a transaction step is lost; where it happened, this is its result."""

    def __init__(self, *, happened: bool, result: Json) -> None:
        super().__init__("lost")
        self.happened = happened
        self.result = result


class WrongTestError(AssertionError):
    """The test is wrong, not the saga: something that it must give is missing, or is not what the step takes."""


class Answers:
    """The answers of one run, and which of them were used. `wrong` collects what is wrong with the test."""

    def __init__(self, sealed: Sealed, answers: Mapping[Any, Any], resources: Mapping[Any, object]) -> None:
        self.resources = resources
        self._definition = sealed.manifest.name
        self._answers = {place_of(sealed.saga, key): answer for key, answer in answers.items()}
        self._calls: dict[tuple[Place, int | None], int] = {}
        self.needed: dict[type, list[str]] = {}
        self._unbegun = {place for place, answer in self._answers.items() if _is_not_started(answer)}
        self._made_up: set[Place] = set(self._answers)
        self._used: set[Place] = set()
        self.wrong: list[WrongTestError] = []
        for step, role in self._unbegun:
            if role != "step" or sealed.manifest.by_name[step].schedule_timeout is None:
                text = f"'{name_of((step, role))}' has no schedule_timeout: begun by nobody, it would wait for ever"
                raise WrongTestError(text)

    def unused(self) -> list[str]:
        """The steps whose answers nobody asked for."""
        return [name_of(place) for place in self._answers if place not in self._used]

    def never_begun(self, definition: str, step: str, role: Role) -> bool:
        """Whether no worker is to begin a command of this kind."""
        found = definition == self._definition and (step, role) in self._unbegun
        if found:
            self._used.add((step, role))
        return found

    def bind(self, sealed: Sealed) -> Sealed:
        """The saga with handlers that answer.

        The undo of a step that was answered runs if the test gave what it takes, else it just succeeds.
        """
        handlers = dict(sealed.handlers)
        for place, bound in sealed.handlers.items():
            if place in self._answers:
                handlers[place] = self._answering(bound, place)
            elif place[1] == "undo" and (place[0], "step") in self._answers and not self._can_run(bound):
                self._made_up.add(place)
                handlers[place] = self._with(bound, _succeed)
            else:
                handlers[place] = _marked(bound)
            for kind in handlers[place].resources.values():
                self.needed.setdefault(kind, []).append(name_of(place))
        return Sealed(sealed.manifest, handlers, sealed.saga)

    def bind_child(self, sealed: Sealed) -> Sealed:
        """A child with its own handlers: answers are for the saga itself."""
        handlers = {place: _marked(bound) for place, bound in sealed.handlers.items()}
        for place, bound in handlers.items():
            for kind in bound.resources.values():
                self.needed.setdefault(kind, []).append(f"{sealed.manifest.name}.{name_of(place)}")
        return Sealed(sealed.manifest, handlers, sealed.saga)

    def transaction(self, definition: str, step: str, role: Role) -> object:
        """The transaction that a handler gets; none where an answer stands in its place."""
        if definition == self._definition and (step, role) in self._made_up:
            return None
        if Transaction not in self.resources:
            self.fail(f"the handler of '{name_of((step, role))}' takes a Transaction: give a fake in "
                      "resources={Transaction: ...}, or give its step an answer")  # fmt: skip
        return self.resources[Transaction]

    def fail(self, text: str) -> NoReturn:
        """The test is wrong: the run ends, and says so.

        Raises:
            WrongTestError: always.
        """
        error = WrongTestError(text)
        self.wrong.append(error)
        raise error

    def _can_run(self, bound: BoundHandler) -> bool:
        needed: list[Any] = [*bound.resources.values(), *([Transaction] if bound.transactional else [])]
        return all(kind in self.resources for kind in needed)

    def _with(self, bound: BoundHandler, function: Callable[..., Any]) -> BoundHandler:
        """The handler with another function, which takes what the test gave."""
        other = copy.copy(bound)
        other.function = functools.wraps(bound.function)(function)
        other.is_async = True
        other.resources = {name: kind for name, kind in bound.resources.items() if kind in self.resources}
        other.parameters = (*bound.parameters, Parameter(CALL, "context"))
        return other

    def _answering(self, bound: BoundHandler, place: Place) -> BoundHandler:
        async def answer(**arguments: Any) -> Any:
            self._used.add(place)
            item = arguments.pop(CALL).item
            return await self._give(bound, place, self._this_time(bound, place, item), arguments)

        return self._with(bound, answer)

    def _this_time(self, bound: BoundHandler, place: Place, item: int | None) -> Any:
        """The answer of this call: a list is one for each attempt (of each item), unless it is what the step gives."""
        answer: Any = self._answers[place]
        many = _elements(answer)
        if many is None or (bound.role != "probe" and _fits(bound, many)):
            return answer
        if not many:
            self.fail(f"the answer of '{name_of(place)}' is an empty list: nothing for its first attempt")
        call = self._calls[place, item] = self._calls.get((place, item), -1) + 1
        return many[min(call, len(many) - 1)]

    async def _give(self, bound: BoundHandler, place: Place, answer: Any, arguments: dict[str, Any]) -> Any:
        if _is_called(answer):
            answer = answer(**self._chosen(place, answer, arguments))
            answer = await answer if inspect.isawaitable(answer) else answer
        if is_class(answer) and issubclass(answer, Unknown | BaseException):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        if not isinstance(answer, Unknown):
            self._check(bound, place, answer)
            return answer
        if not bound.transactional:
            return await asyncio.get_running_loop().create_future()
        kept = self._check(bound, place, answer.result) if answer.happened and bound.role != "probe" else None
        raise LostError(happened=answer.happened, result=kept)

    def _check(self, bound: BoundHandler, place: Place, answer: object) -> Json:
        """The answer as it is stored; a test whose answer is no result of the step is wrong."""
        try:
            return bound.dump_probe(answer)[1] if bound.role == "probe" else bound.dump(answer)
        except ResultError as unfit:
            self.fail(f"the answer of '{name_of(place)}' is no result of it: {unfit}")

    def _chosen(self, place: Place, answer: Callable[..., object], arguments: dict[str, Any]) -> dict[str, Any]:
        """Those arguments that a function of the test takes."""
        try:
            wanted = inspect.signature(answer).parameters.values()
        except (TypeError, ValueError):
            return arguments  # one that hides what it takes, as AsyncMock does before Python 3.11.4, takes all
        if any(one.kind is one.VAR_KEYWORD for one in wanted):
            return arguments
        named = [one for one in wanted if one.kind is not one.VAR_POSITIONAL]
        for one in named:
            if one.name not in arguments and one.default is one.empty:
                there = ", ".join(arguments) or "nothing"
                self.fail(f"the answer of '{name_of(place)}' takes '{one.name}', but its handler takes {there}")
        return {one.name: arguments[one.name] for one in named if one.name in arguments}


async def _succeed(**arguments: Any) -> None:
    """The step was made up, so there is nothing to undo."""


def _marked(bound: BoundHandler) -> BoundHandler:
    """The handler, whose timers are told from those of the machinery."""
    if not bound.is_async:
        return bound
    function = bound.function

    @functools.wraps(function)
    async def run(**arguments: Any) -> Any:
        token = IN_HANDLER.set(True)
        try:
            value = function(**arguments)
            return await value if inspect.isawaitable(value) else value
        finally:
            IN_HANDLER.reset(token)

    marked = copy.copy(bound)
    marked.function = run
    return marked


def _elements(answer: Any) -> list[Any] | None:
    return answer if isinstance(answer, list) else None  # pyright: ignore[reportUnknownVariableType] # any list


def _is_not_started(answer: object) -> bool:
    return answer is NotStarted or isinstance(answer, NotStarted)


def _is_called(answer: object) -> bool:
    return callable(answer) and not is_class(answer)


def _fits(bound: BoundHandler, answer: object) -> bool:
    try:
        bound.dump(answer)
    except ResultError:
        return False
    return True


def name_of(place: Place) -> str:
    """`hotel`, or `hotel:undo`."""
    step, role = place
    return step if role == "step" else f"{step}:{role}"


def place_of(saga: Saga[Any, Any], key: Any) -> Place:
    """The step and role that a key of `answers` names: a step, one of its functions, `"step"` or `"step:undo"`.

    Raises:
        LookupError: it names none of the saga's.
    """
    if isinstance(key, str):
        step, _, role = key.partition(":")
        for known in ROLES:
            if step in saga.graph.nodes and known == (role or "step"):
                return step, known
    if isinstance(key, Step) and cast("Step[..., Any]", key).stands_in(saga.graph):
        return cast("Step[..., Any]", key).name, "step"
    for node in saga.graph.nodes.values():
        for known, handler in node.handlers.items():
            if handler.signature.function is key:
                return node.name, known
    raise LookupError(f"answers: {key!r} is no step of saga '{saga.name}'; it has {', '.join(saga.graph.nodes)}")


class GivenResources(Mapping[type, object]):
    """The resources of a test. One that nobody gave fails the test, not the saga."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def __getitem__(self, kind: type) -> object:
        if kind not in self._answers.resources:
            names = self._answers.needed.get(kind, [])
            need = f"{', '.join(names)} {'need' if len(names) > 1 else 'needs'} a {kind.__qualname__}"
            self._answers.fail(f"{need}: give it in resources, or give each an answer")
        return self._answers.resources[kind]

    def __contains__(self, kind: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(self._answers.resources)

    def __len__(self) -> int:
        return len(self._answers.resources)

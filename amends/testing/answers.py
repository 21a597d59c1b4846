"""What a test says in place of handlers: values, exceptions, unknowns, functions, or one of these for each attempt."""

import asyncio
import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_core import to_jsonable_python

from consumers.execution import Call, ClosedError, Effect, key_of, keys_to_close
from sagas.binding import BoundHandler
from sagas.definition import Saga
from sagas.events import Json
from sagas.manifest import Role
from sagas.nodes import Step
from sagas.ports import Command, CommitUnknown
from sagas.seal import Sealed

ROLES: tuple[Role, ...] = ("step", "undo", "probe", "fallback")
Place = tuple[str, Role]


class Unknown:
    """An answer: nobody knows whether the step happened. `happened` is what is true all the same.

    A plain step times out. A transaction step loses the answer of its commit; where that happened, `result` stands.
    """

    def __init__(self, *, happened: bool = False, result: object = None) -> None:
        self.happened = happened
        self.result = result


class Answers:
    """The answers of one run, and which of them were used."""

    def __init__(self, sealed: Sealed, answers: Mapping[Any, Any], resources: Mapping[type, object]) -> None:
        self._resources = resources
        self._answers = {place_of(sealed.saga, key): answer for key, answer in answers.items()}
        self._calls: dict[tuple[str, str, int | None], int] = {}
        self.used: set[Place] = set()

    def unused(self) -> list[str]:
        """The steps whose answers nobody asked for."""
        places = [place for place in self._answers if place not in self.used]
        return [step if role == "step" else f"{step}:{role}" for step, role in places]

    def bind(self, sealed: Sealed) -> Sealed:
        """The saga with handlers that answer.

        The undo of a step that was answered runs if the test gave what it takes, else it just succeeds.
        """
        handlers = dict(sealed.handlers)
        for place, bound in sealed.handlers.items():
            if place in self._answers:
                handlers[place] = self._answering(bound, place)
            elif place[1] == "undo" and (place[0], "step") in self._answers and not self._can_run(bound):
                handlers[place] = _succeeding(bound)
        return Sealed(sealed.manifest, handlers, sealed.saga)

    def _can_run(self, bound: BoundHandler) -> bool:
        return not bound.transactional and all(kind in self._resources for kind in bound.resources.values())

    def _answering(self, bound: BoundHandler, place: Place) -> BoundHandler:
        answering = copy.copy(bound)

        async def answer(**arguments: Any) -> Any:
            self.used.add(place)
            return await self._give(self._answers[place], place, arguments)

        answering.function = answer
        answering.is_async = True
        answering.resources = {name: kind for name, kind in bound.resources.items() if kind in self._resources}
        return answering

    async def _give(self, answer: object, place: Place, arguments: dict[str, Any]) -> Any:
        many = list_or_nothing(answer)
        if _one_an_attempt(many):
            key = (*place, None)
            call = self._calls[key] = self._calls.get(key, -1) + 1
            return await self._give(many[min(call, len(many) - 1)], place, arguments)
        if isinstance(answer, Unknown):
            return await asyncio.get_running_loop().create_future()
        if isinstance(answer, BaseException):
            raise answer
        if inspect.isroutine(answer):
            names = inspect.signature(answer).parameters
            given = answer(**{name: value for name, value in arguments.items() if name in names})
            given = await given if inspect.isawaitable(given) else given
            return await self._give(given, place, arguments) if isinstance(given, Unknown | BaseException) else given
        return answer


def _succeeding(bound: BoundHandler) -> BoundHandler:
    succeeding = copy.copy(bound)

    async def succeed(**arguments: Any) -> None:
        """The step was made up, so there is nothing to undo."""

    succeeding.function = succeed
    succeeding.is_async = True
    succeeding.resources = {}
    return succeeding


def list_or_nothing(answer: Any) -> list[Any]:
    """The elements of a list; of anything else, none."""
    return list(answer) if isinstance(answer, list) else []  # pyright: ignore[reportUnknownArgumentType] # any list


def _one_an_attempt(answers: Sequence[Any]) -> bool:
    """A list is one answer for each attempt as soon as one of them is no value."""
    return any(isinstance(one, Unknown | BaseException) or inspect.isroutine(one) for one in answers)


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
    if isinstance(key, Step) and cast("Step[..., Any]", key).name in saga.graph.nodes:
        return cast("Step[..., Any]", key).name, "step"
    for node in saga.graph.nodes.values():
        for known, handler in node.handlers.items():
            if handler.signature.function is key:
                return node.name, known
    raise LookupError(f"answers: {key!r} is no step of saga '{saga.name}'; it has {', '.join(saga.graph.nodes)}")


class MissingError(AssertionError):
    """A handler ran that needs something which the test did not give."""


class Anything(Mapping[type, object]):
    """The resources of a test. One that nobody gave fails the test, not the saga."""

    def __init__(self, given: Mapping[type, object], missing: list[str]) -> None:
        self._given = given
        self._missing = missing

    def __getitem__(self, kind: type) -> object:
        if kind not in self._given:
            self._missing.append(
                f"a handler takes {kind.__qualname__}: give it in resources, or give its step an answer"
            )
            return None
        return self._given[kind]

    def __contains__(self, kind: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


class MemoryTransactions:
    """Transaction steps without a database: their keys in memory, no tables (rules T1, T2)."""

    def __init__(self, answers: Answers, missing: list[str], raw: Mapping[Any, Any], saga: Saga[Any, Any]) -> None:
        self._answers = answers
        self._missing = missing
        self._happens = {place_of(saga, key): answer for key, answer in raw.items() if isinstance(answer, Unknown)}
        self._kept: dict[str, Json] = {}
        self._closed: set[str] = set()

    async def run(self, command: Command, call: Call) -> Effect:
        """Run a transaction step once."""
        key = key_of(command)
        if key in self._closed:
            raise ClosedError(f"the key {key} is closed: the step was given up")
        if key in self._kept:
            return Effect(self._kept[key])
        unknown = self._happens.get((command.step, command.role))
        if unknown is not None:
            self._answers.used.add((command.step, command.role))
            if unknown.happened:
                self._kept[key] = to_jsonable_python(unknown.result)
            raise CommitUnknown("the answer of the commit was lost")
        self._kept[key] = await call(None)
        return Effect(self._kept[key])

    async def close_key(self, command: Command) -> Effect:
        """Close the step's key, and the fallback's for an undo, or find the result."""
        happened: Effect | None = None
        for key in keys_to_close(command):
            if key in self._kept:
                happened = Effect(self._kept[key], happened=True)
            else:
                self._closed.add(key)
        return happened or Effect(closed=True)

    async def undo(self, command: Command, call: Call) -> Effect:
        """Undo what happened, once."""
        found = await self.close_key(command)
        key = f"{command.step_key}/undo"
        if not found.closed and key not in self._kept:
            await call(object(), found.result)
            self._kept[key] = None
        return Effect(closed=found.closed)

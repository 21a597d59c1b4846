"""Random sagas, said as users say them: any graph with pivots, undos, probes, fallbacks, lists, waits and children."""

import inspect
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from random import Random
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from sagas.answers import CannotTell, DidNotHappen, Given, Happened
from sagas.context import Context, Transaction
from sagas.definition import Saga
from sagas.nodes import Node
from sagas.retry import Retry

CHILDREN = 6
STEP_SECONDS = (1.5, 1.5, 1.5, 8.0)


class Job(BaseModel):
    """The input of every random saga."""

    items: list[int]
    flag: bool
    moment: Annotated[datetime, Field(examples=["2026-01-01T00:00:01Z", "2026-01-01T00:00:05Z"])]


class Word(BaseModel):
    """What is sent to a wait."""

    text: str


class Sum(BaseModel):
    """What sagas give that others start."""

    total: int


@dataclass(frozen=True)
class _Made:
    """A node of a saga that is being made, and what a parameter named after it may be annotated with."""

    node: Node
    forms: tuple[Any, ...] = ()


@cache
def random_saga(number: int) -> Saga[Any, Any]:
    """The random saga of this number: always the same."""
    rng = Random(f"saga/{number}")  # noqa: S311 - a draw, no secret
    deadline = rng.choice([None, None, None, 12.0])
    gives: Any = Sum if number < CHILDREN else None
    saga = Saga(f"random_{number}", input=Job, result=gives, deadline=deadline)
    count = rng.choice((1, 2, 2, 3, 3, 4, 6))
    pivot = rng.choice([None, rng.randrange(count)])
    made: list[_Made] = []
    for place in range(count):
        after = rng.sample(made, rng.randint(0, min(len(made), 2)))
        if place == pivot:
            after = made
        elif pivot is not None and place > pivot:
            after = [made[pivot], *(one for one in after if one is not made[pivot])]
        made.append(_node(saga, rng, place, pivot, list(after), number))
    if gives is not None:
        saga.step("sum", after=[one.node for one in made], retry=Retry(delays=[0.5], forever=True))(_sum)
    return saga


async def _sum(order: Job, context: Context) -> Sum:
    return Sum(total=0)


def _node(saga: Saga[Any, Any], rng: Random, place: int, pivot: int | None, after: list[_Made], number: int) -> _Made:
    name, behind = f"s{place}", pivot is not None and place > pivot
    nodes = [one.node for one in after]
    more = Random(f"saga/{number}/{name}")  # noqa: S311 - a draw, no secret
    if place == pivot and number >= CHILDREN and more.random() < 0.25:
        return _Made(saga.start(name, random_saga(_childish(more, pivot=True)), input="input", after=nodes), (Sum,))
    if place != pivot and rng.random() < 0.3:
        kind = rng.choice(("sleep", "sleep_until", "wait", "wait", "child", "child"))
        if kind == "sleep":
            return _Made(saga.sleep(name, rng.choice([0.0, 1.0, 4.0]), after=nodes))
        if kind == "sleep_until":
            return _Made(saga.sleep_until(name, "input.moment", after=nodes))
        if kind == "wait":
            silent: Literal["compensate", "continue"] = "continue" if behind else rng.choice(("compensate", "continue"))
            wait = saga.wait(name, model=Word, timeout=rng.choice([1.0, 4.0]), on_timeout=silent, after=nodes)
            return _Made(wait, (Word if silent == "compensate" else Word | None,))
        if number >= CHILDREN:
            return _Made(saga.start(name, random_saga(_childish(rng, pivot=False)), input="input", after=nodes), (Sum,))
    return _step(saga, rng, name, place == pivot, behind, after, more)


def _childish(rng: Random, *, pivot: bool) -> int:
    """A saga that starts none: one that has a pivot is a pivot itself (def_R9)."""
    numbers = [number for number in range(CHILDREN) if (random_saga(number).seal().manifest.pivot is not None) == pivot]
    return rng.choice(numbers)


def _step(
    saga: Saga[Any, Any], rng: Random, name: str, pivot: bool, behind: bool, after: list[_Made], more: Random
) -> _Made:
    transactional = rng.random() < 0.3
    plain = more.random() < 0.2 and not transactional
    each = "input.items" if not pivot and rng.random() < 0.2 else None
    skips = rng.choice(("when", "unless")) if not pivot and rng.random() < 0.2 else None
    leaves_out = each is not None and rng.random() < 0.5
    takes: dict[str, Any] = {"item": int} if each else {"order": Job}
    takes |= {one.node.name: rng.choice(one.forms) for one in after if one.forms and rng.random() < 0.6}
    last: dict[str, Any] = {"transaction": Transaction} if transactional else {"context": Context}
    step = saga.step(
        name,
        after=[one.node for one in after],
        pivot=pivot,
        each=each,
        concurrency=rng.choice([None, 1, 2]) if each else None,
        item_failure="leave_out" if leaves_out else "fail",
        when="input.flag" if skips == "when" else None,
        unless="input.flag" if skips == "unless" else None,
        timeout=rng.choice(STEP_SECONDS),
        retry=_retry(rng, more),
        priority=rng.choice(("high", "normal", "normal", "low")),
        schedule_timeout=rng.choice([None, None, None, 1.0, 3.0]),
        heartbeat_timeout=rng.choice([None, None, 1.0]) if not transactional else None,
    )(_taking({**takes, **last}, plain=plain))
    if not pivot and not behind and rng.random() < 0.8:
        step.undo(retry=Retry(delays=[0.5, 1.0, 2.0]))(_undo(transactional, plain=plain))
    if not transactional and rng.random() < 0.35:
        step.probe(_probe(plain=plain))
    falls = rng.random() < 0.2
    if falls:
        step.fallback(_taking({**takes, **last}, plain=plain))
    return _Made(step, _forms(each is not None, leaves_out, skips is not None, falls))


def _forms(each: bool, leaves_out: bool, skips: bool, falls: bool) -> tuple[Any, ...]:
    """How a step's result may be taken: as it is, or with how it came about."""
    one: Any = int | None if leaves_out else int
    plain: Any = list[one] if each else int
    if skips:
        given: Any = list[Given[one]] | None if each else Given[int | None]
        return plain | None, given if falls else plain | None
    return plain, (list[Given[one]] if each else Given[int]) if falls else plain


def _retry(rng: Random, more: Random) -> Retry:
    delays = [0.5, 2.0][: rng.randint(0, 2)]
    return Retry(delays=delays, forever=bool(delays) and more.random() < 0.15)


def _taking(takes: dict[str, Any], *, plain: bool) -> Any:
    """A handler with these parameters; a plain one runs in a thread."""

    async def in_loop(**arguments: Any) -> int:
        return 0

    def in_thread(**arguments: Any) -> int:
        return 0

    handle: Any = in_thread if plain else in_loop
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, annotation=form) for name, form in takes.items()]
    handle.__signature__ = inspect.Signature(parameters, return_annotation=int)
    handle.__annotations__ = {**takes, "return": int}
    return handle


def _undo(transactional: bool, *, plain: bool) -> Any:
    async def undo(result: int | None, context: Context) -> None: ...

    async def undo_within(result: int | None, transaction: Transaction) -> None: ...

    def undo_in_thread(result: int | None, context: Context) -> None: ...

    return undo_in_thread if plain else undo_within if transactional else undo


def _probe(*, plain: bool) -> Any:
    async def probe(context: Context) -> Happened[int] | DidNotHappen | CannotTell:
        return DidNotHappen()

    def probe_in_thread(context: Context) -> Happened[int] | DidNotHappen | CannotTell:
        return DidNotHappen()

    return probe_in_thread if plain else probe

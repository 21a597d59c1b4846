"""Random sagas, said as users say them: any graph with pivots, undos, probes, fallbacks, lists, waits and children."""

from functools import cache
from random import Random
from typing import Any, Literal

from pydantic import BaseModel

from sagas.answers import CannotTell, DidNotHappen, Happened
from sagas.context import Context, Transaction
from sagas.definition import Saga
from sagas.nodes import Node
from sagas.retry import Retry

CHILDREN = 6
STEP_SECONDS = 1.5


class Job(BaseModel):
    """The input of every random saga."""

    items: list[int]
    flag: bool


class Word(BaseModel):
    """What is sent to a wait."""

    text: str


@cache
def random_saga(number: int) -> Saga[Any, Any]:
    """The random saga of this number: always the same."""
    rng = Random(f"saga/{number}")  # noqa: S311 - a draw, no secret
    saga = Saga(f"random_{number}", input=Job, deadline=rng.choice([None, None, None, 12.0]))
    count = rng.choice((1, 2, 2, 3, 3, 4, 6))
    pivot = rng.choice([None, rng.randrange(count)])
    nodes: list[Node] = []
    for place in range(count):
        after = rng.sample(nodes, rng.randint(0, min(len(nodes), 2)))
        if place == pivot:
            after = nodes
        elif pivot is not None and place > pivot:
            after = [nodes[pivot], *(node for node in after if node is not nodes[pivot])]
        nodes.append(_node(saga, rng, place, pivot, list(after), number))
    return saga


def _node(saga: Saga[Any, Any], rng: Random, place: int, pivot: int | None, after: list[Node], number: int) -> Node:
    name, behind = f"s{place}", pivot is not None and place > pivot
    if place != pivot and rng.random() < 0.25:
        kind = rng.choice(("sleep", "wait", "wait", "child"))
        if kind == "sleep":
            return saga.sleep(name, rng.choice([0.0, 1.0, 4.0]), after=after)
        if kind == "wait":
            silence: Literal["compensate", "continue"] = (
                "continue" if behind else rng.choice(("compensate", "continue"))
            )
            return saga.wait(name, model=Word, timeout=rng.choice([1.0, 4.0]), on_timeout=silence, after=after)
        if number >= CHILDREN and not behind:
            child = random_saga(_childish(rng))
            return saga.start(name, child, input="input", after=after)
    return _step(saga, rng, name, place == pivot, behind, after)


def _childish(rng: Random) -> int:
    """A saga without pivot: one that has some is a pivot itself (def_R9)."""
    numbers = [number for number in range(CHILDREN) if random_saga(number).seal().manifest.pivot is None]
    return rng.choice(numbers)


def _step(saga: Saga[Any, Any], rng: Random, name: str, pivot: bool, behind: bool, after: list[Node]) -> Node:
    transactional = rng.random() < 0.3
    each = "input.items" if not pivot and rng.random() < 0.2 else None
    do = _do(transactional, each is not None)
    step = saga.step(
        name,
        after=after,
        pivot=pivot,
        each=each,
        concurrency=rng.choice([None, 1, 2]) if each else None,
        item_failure=rng.choice(("fail", "leave_out")) if each else "fail",
        when="input.flag" if not pivot and rng.random() < 0.15 else None,
        timeout=STEP_SECONDS,
        retry=Retry(delays=[0.5, 2.0][: rng.randint(0, 2)]),
        priority=rng.choice(("high", "normal", "normal", "low")),
        schedule_timeout=rng.choice([None, None, None, 1.0, 3.0]),
        heartbeat_timeout=rng.choice([None, None, 1.0]) if not transactional else None,
    )(do)
    undo = not pivot and not behind and rng.random() < 0.8
    if undo:
        step.undo(retry=Retry(delays=[0.5, 1.0, 2.0]))(_undo(transactional))
    if not transactional and rng.random() < 0.35:
        step.probe(_probe())
    if rng.random() < 0.2:
        step.fallback(_fallback(transactional, each is not None))
    return step


def _do(transactional: bool, item: bool) -> Any:
    async def do(order: Job, context: Context) -> int:
        return 0

    async def do_item(item: int, context: Context) -> int:
        return 0

    async def do_within(order: Job, transaction: Transaction) -> int:
        return 0

    async def do_item_within(item: int, transaction: Transaction) -> int:
        return 0

    return {(False, False): do, (False, True): do_item, (True, False): do_within, (True, True): do_item_within}[
        transactional, item
    ]


def _undo(transactional: bool) -> Any:
    async def undo(result: int | None, context: Context) -> None: ...

    async def undo_within(result: int | None, transaction: Transaction) -> None: ...

    return undo_within if transactional else undo


def _probe() -> Any:
    async def probe(context: Context) -> Happened[int] | DidNotHappen | CannotTell:
        return DidNotHappen()

    return probe


def _fallback(transactional: bool, item: bool) -> Any:
    return _do(transactional, item)

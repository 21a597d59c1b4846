"""Small sagas for schedules, said as users say them. The ledger stands in for what their handlers do."""

from collections.abc import Callable, Coroutine
from typing import Any

from pydantic import BaseModel

from sagas.answers import CannotTell, DidNotHappen, Happened
from sagas.context import Context, Transaction
from sagas.definition import Saga
from sagas.nodes import Node, Step
from sagas.retry import Retry

__all__ = ["BLOCK", "BUY", "BUY_AND_ASK", "ONCE", "PAY", "PAY_AND_SEND", "QUICK", "TIMEOUT_SECONDS", "WORK_LONG",
           "Order", "Saga", "Word", "pivot", "step", "transaction"]  # fmt: skip
TIMEOUT_SECONDS = 4.0
QUICK = Retry(delays=[0.5])
ONCE = Retry(delays=[])


class Order(BaseModel):
    id: int


class Word(BaseModel):
    text: str


def step(
    saga: Saga[Order, None],
    name: str,
    *after: Node,
    undo: bool = True,
    undo_seconds: float = TIMEOUT_SECONDS,
    **options: Any,
) -> Step[Any, Any]:
    """A step of the saga, with an undo."""
    options = {"timeout": TIMEOUT_SECONDS, "retry": QUICK, **options}
    made = saga.step(name, after=after, **options)(_do())
    if undo:
        made.undo(retry=QUICK, timeout=undo_seconds)(_undo())
    return made


def pivot(saga: Saga[Order, None], name: str, *after: Node, probe: bool = False, **options: Any) -> Step[Any, Any]:
    """The saga's pivot."""
    made = step(saga, name, *after, undo=False, pivot=True, **options)
    if probe:
        made.probe(_probe())
    return made


def transaction(saga: Saga[Order, None], name: str, *after: Node, undo: bool = True, **options: Any) -> Step[Any, Any]:
    """A step within a transaction."""

    async def do(order: Order, transaction: Transaction) -> int:
        return 0

    async def undone(result: int | None, transaction: Transaction) -> None: ...

    made: Step[Any, Any] = saga.step(name, after=after, timeout=TIMEOUT_SECONDS, retry=QUICK, **options)(do)
    if undo:
        made.undo(retry=QUICK, timeout=TIMEOUT_SECONDS)(undone)
    return made


def _do() -> Callable[..., Coroutine[Any, Any, int]]:
    async def do(order: Order, context: Context) -> int:
        return 0

    return do


def _undo() -> Callable[..., Coroutine[Any, Any, None]]:
    async def undo(result: int | None, context: Context) -> None: ...

    return undo


def _probe() -> Callable[..., Coroutine[Any, Any, Happened[int] | DidNotHappen | CannotTell]]:
    async def probe(context: Context) -> Happened[int] | DidNotHappen | CannotTell:
        return DidNotHappen()

    return probe


def _pay() -> Saga[Order, None]:
    saga = Saga("pay", input=Order)
    step(saga, "a")
    return saga


def _block() -> Saga[Order, None]:
    saga = Saga("block", input=Order)

    def do(order: Order, context: Context) -> int:
        return 0

    saga.step("a", timeout=TIMEOUT_SECONDS, retry=QUICK)(do).undo(retry=QUICK)(_undo())
    return saga


def _work_long() -> Saga[Order, None]:
    saga = Saga("work_long", input=Order)
    step(saga, "a", timeout=30.0)
    return saga


def _pay_and_send() -> Saga[Order, None]:
    saga = Saga("pay_and_send", input=Order)
    step(saga, "b", step(saga, "a"))
    return saga


def _buy() -> Saga[Order, None]:
    saga = Saga("buy", input=Order)
    pivot(saga, "p", step(saga, "a"))
    return saga


def _buy_and_ask() -> Saga[Order, None]:
    saga = Saga("buy_and_ask", input=Order)
    pivot(saga, "p", step(saga, "a"), probe=True)
    return saga


PAY, BLOCK, WORK_LONG = _pay(), _block(), _work_long()
"""One step; one that is a plain function, which runs in a thread; one that may take long."""
PAY_AND_SEND, BUY, BUY_AND_ASK = _pay_and_send(), _buy(), _buy_and_ask()
"""One step after another; one and a pivot; and the same with a probe."""

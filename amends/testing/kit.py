"""`run` a saga in a plain test: no server, no waiting, every retry and timeout on virtual time (api.md section 4)."""

import asyncio
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, TypeVar

from amends.clock import LoopClock
from amends.testing.answers import Answers, GivenResources, NotStarted, Unknown
from amends.testing.faults import Fault, Faults, FaultySender, FaultyWorker
from amends.testing.pace import LEASE_SECONDS, WatchedStore
from amends.testing.transactions import MemoryTransactions
from amends.testing.virtual import VirtualLoop, run_virtual
from amends.timeline import timeline
from amends.views import records_of, result_of, values_of
from consumers.execution import Surroundings
from consumers.inprocess import Broker
from consumers.worker import Worker
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from sagas import events as e
from sagas.definition import Saga
from sagas.errors import Permanent
from sagas.events import Event, Recorded
from sagas.inputs import Send, Start
from sagas.nodes import Signal
from sagas.ports import WaitRow
from sagas.seal import Sealed, unsupported_in
from sagas.state import State
from sagas.statuses import SagaStatus

I = TypeVar("I")  # noqa: E741 - the input
O = TypeVar("O")  # noqa: E741 - the output
M = TypeVar("M")

LONGEST = timedelta(days=30)
NOW = timedelta()
ATTEMPTS_MAX = 2_000
AN_INSTANT = 1e-6
"""Seconds: sums of delays may come out a hair short of the end, where a timer is due already and no time passes."""
_runs = itertools.count(1)


@dataclass(frozen=True)
class Sending:
    """A signal on its way: made by `send`."""

    name: str
    value: object
    after: timedelta


@dataclass(frozen=True)
class Run(Generic[O]):
    """How a saga went. `ran`, `undone`, `skipped` and `fallbacks` name steps in order; `str()` is the timeline."""

    status: SagaStatus
    result: O
    ran: list[str]
    undone: list[str]
    skipped: list[str]
    fallbacks: list[str]
    waits: list[WaitRow]
    took: timedelta
    events: list[Event]
    history: list[Recorded]
    state: State

    def __str__(self) -> str:
        """The timeline."""
        return "\n".join(timeline(self.history))


def run(
    saga: Saga[I, O],
    input: I,
    *,
    answers: Mapping[Any, Any] | None = None,
    resources: Mapping[Any, object] | None = None,
    signals: Sequence[Sending] | None = None,
    until: timedelta | None = None,
    seed: int = 0,
    unused_ok: bool = False,
    faults: Mapping[Any, Fault | Sequence[Fault | None]] | None = None,
) -> Run[O]:
    """Run a saga to its end, or until only people could go on.

    A step with an answer does not run its handler; one without runs the real handler with `resources`. An answer is a
    value, an exception, `Unknown`, a function with some of the handler's parameters, or a list of these, one for each
    attempt (of each item), or `NotStarted`; a fake transaction is given as `resources={Transaction: fake}`. `signals`
    are sent at their time: `send(approval, Approval(...), after=hours(3))`. Children run too, with their own handlers.
    The run also ends after `until` of virtual time (30 days), and when a step was tried 2,000 times.

    `faults` say what goes wrong around the handlers of steps, with the first attempt or, in a list, with each:
    `{book_hotel: [Fault.WORKER_DIES, None, Fault.RUNS_TWICE]}`.

    Raises:
        AssertionError: a handler needs what nobody gave, an answer is no result of its step, or was never asked for (a
            typo, perhaps), as a fault that never struck.
        DefinitionError: the saga does not hold together.
    """
    sealed = saga.seal()
    if missing := unsupported_in(sealed.saga):
        raise NotImplementedError(f"saga '{saga.name}' uses what cannot run yet: {', '.join(missing)}")
    given = Answers(sealed, answers or {}, resources or {})
    wrong = Faults(saga, faults or {})
    sendings = [_checked(sealed, sending) for sending in signals or ()]

    async def drive() -> Run[O]:
        length = (until or LONGEST).total_seconds()
        return await _drive(sealed, given, wrong, sealed.normalise(input), sendings, length)

    chance = random.getstate()
    random.seed(seed)
    try:
        done = run_virtual(drive)
    finally:
        random.setstate(chance)
    if given.wrong:
        raise given.wrong[0]
    if not unused_ok and (unused := given.unused()):
        raise AssertionError(f"answers that nobody asked for: {', '.join(unused)}\n{done}")
    if not unused_ok and (unused := wrong.unused()):
        raise AssertionError(f"faults that never struck: {', '.join(unused)}\n{done}")
    return done


def send(signal: Signal[M] | str, value: M, *, after: timedelta = NOW) -> Sending:
    """Something that somebody sends to a wait, so long after the start."""
    return Sending(signal if isinstance(signal, str) else signal.name, value, after)


def _checked(sealed: Sealed, sending: Sending) -> Sending:
    node = sealed.manifest.by_name.get(sending.name)
    if node is None or node.kind != "signal":
        raise AssertionError(f"saga '{sealed.manifest.name}' has no wait called '{sending.name}'")
    return replace(sending, value=sealed.normalise_value(sending.name, sending.value))


async def _drive(
    sealed: Sealed, given: Answers, wrong: Faults, value: Any, sendings: Sequence[Sending], until: float
) -> Run[Any]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    store = WatchedStore(loop, until)
    loop.skip(store.quiet_until)
    wrong.judged = store.changed.set
    clock, broker = LoopClock(), Broker()
    sender = FaultySender(broker, wrong, given)
    saga_id = f"01900000-0000-7000-8000-{next(_runs):012d}"
    publisher = Publisher(store, sender, clock, LEASE_SECONDS)
    engine = Engine(store, clock, publisher)
    family = {one.name: one.seal() for one in sealed.saga.family()}
    for one in family.values():
        await store.put_manifest(one.manifest)
    here = Surroundings(GivenResources(given), MemoryTransactions(given), worker="worker")
    bound = {name: given.bind_child(one) for name, one in family.items()} | {sealed.manifest.name: given.bind(sealed)}
    worker = Worker(FaultyWorker(broker, "worker", wrong, saga_id), store, bound, here, engine)
    orchestrator = Orchestrator(store, sender, clock, engine, publisher)
    tasks = [asyncio.create_task(worker.run()), asyncio.create_task(orchestrator.run())]
    await engine.apply([Start(saga_id, sealed.manifest, value)])
    for number, sending in enumerate(sendings):
        word = Send(saga_id, sending.name, sending.value, f"signal/{number}")
        tasks.append(asyncio.create_task(_later(clock, sending.after.total_seconds(), engine, word)))
    last = max((sending.after.total_seconds() for sending in sendings), default=0.0)
    try:
        while not given.wrong and until - loop.time() > AN_INSTANT:
            store.changed.clear()
            heads = store.everything()
            if heads and all(map(_has_ended, heads)) and loop.time() >= last and not wrong.to_come:
                break
            changing = asyncio.create_task(store.changed.wait())
            await asyncio.wait([changing, *tasks], timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            changing.cancel()
            for task in [task for task in tasks if task.done()]:
                task.result()
                tasks.remove(task)
    finally:
        loop.skip(lambda: 0.0)
        worker.drain()
        orchestrator.stop()
        await asyncio.wait(tasks)
    return await _report(sealed, store, saga_id)


async def _later(clock: LoopClock, seconds: float, engine: Engine, word: Send) -> None:
    await clock.sleep(seconds)
    await engine.apply([word])


def _has_ended(head: State) -> bool:
    """Whether nothing more happens, unless a person acts or a step goes on failing for ever."""
    if head.terminal or max((step.attempt for step in head.steps.values()), default=0) >= ATTEMPTS_MAX:
        return True
    return all(wait.kind in ("operator", "deadline", "child") for wait in head.waits.values())


async def _report(sealed: Sealed, store: MemoryStore, saga_id: str) -> Run[Any]:
    head = (await store.heads([saga_id]))[saga_id]
    history = await store.history(saga_id, limit=1_000_000)
    happened = [entry.event for entry in history]
    result: Any = None
    if head.status == "completed" and sealed.manifest.result_from is not None:
        giver = sealed.manifest.by_name[sealed.manifest.result_from]
        _, results = await values_of(store, head, records_of(sealed.manifest, head, giver))
        result = sealed.load_result(result_of(sealed.manifest, head, results))
    return Run(
        status=head.status,
        result=result,
        ran=_names(happened, e.StepSucceeded),
        undone=_names(happened, e.StepUndone),
        skipped=_names(happened, e.StepSkipped),
        fallbacks=_names(happened, e.FallbackUsed),
        waits=await store.waits(saga_id),
        took=timedelta(seconds=history[-1].at - history[0].at),
        events=happened,
        history=history,
        state=head,
    )


def _names(happened: Sequence[Event], kind: type[Event]) -> list[str]:
    return [event.step or "" for event in happened if isinstance(event, kind)]


def assert_undone_for_each_failure(
    saga: Saga[I, O],
    input: I,
    answers: Mapping[Any, Any] | None = None,
    *,
    resources: Mapping[Any, object] | None = None,
    signals: Sequence[Sending] | None = None,
) -> None:
    """Let each step fail for good, and be unknown, in turn: the saga must end compensated, or ask an operator.

    A step with `schedule_timeout` is begun by nobody as well.

    It may also complete by a fallback, by what a probe found, or without the items that a step leaves out. An operator
    who is asked because an undo does not succeed is no good end. The steps of a child are for a test of the child.

    Raises:
        AssertionError: a way ends otherwise, or a step was not reached, perhaps for want of `signals`; the message
            names the step and shows the timeline.
    """
    manifest = saga.seal().manifest
    for node in [node for node in manifest.nodes if node.kind == "step"]:
        harms: dict[str, object] = {"fails for good": Permanent("this step fails"), "is unknown": Unknown()}
        if node.schedule_timeout is not None:
            harms["is begun by nobody"] = NotStarted()
        for how, harm in harms.items():
            told = {**(answers or {}), node.name: harm}
            done = run(saga, input, answers=told, resources=resources, signals=signals, unused_ok=True)
            what = f"'{node.name}' {how}"
            if not any(event.step == node.name and event.attempt for event in done.events):
                if node.each is None and not any(event.step == node.name for event in done.events):
                    raise AssertionError(f"'{node.name}' is never reached: give the signals that it waits for\n{done}")
                continue  # it is not needed with this input
            causes = {wait.cause for wait in done.state.waits.values() if wait.kind == "operator"}
            if done.status == "compensated" or (causes and "undo_failed" not in causes):
                continue
            left_out = any(isinstance(event, e.StepSkipped) and event.why == "left_out" for event in done.events)
            found = any(isinstance(event, e.ProbeAnswered) and event.answer == "happened" for event in done.events)
            if (done.fallbacks or left_out or found) and done.status == "completed":
                continue
            raise AssertionError(f"when {what} the saga ends {done.status}\n{done}")

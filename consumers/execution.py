"""One execution of one handler: arguments in, an outcome out. Nothing that a handler does escapes as an exception."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import field
from typing import Any, Protocol

import orjson

from consumers.classify import Verdict, classify, failure, make_failure
from consumers.faults import Fault, Faults
from consumers.pulse import Pulse
from sagas.binding import BoundHandler
from sagas.context import Context, Reporter
from sagas.errors import ArgumentError, Permanent, ResultError
from sagas.events import Json
from sagas.inputs import Outcome
from sagas.manifest import Role
from sagas.ports import Command, CommitUnknown
from sagas.records import record, replace

RESULT_BYTES_MAX = 1024 * 1024
RETRY_AFTER_SECONDS_MAX = 86_400.0
RunInThread = Callable[[Callable[..., Any], Mapping[str, Any]], Awaitable[Any]]
Call = Callable[..., Awaitable[Json]]
LeftRunning = Callable[[Command, BoundHandler, "asyncio.Future[Any]"], None]


@record
class Effect:
    """What became of a transaction step's call: its result, and what its keys said (rules T1, T2).

    `fallback`: it was the fallback's key that held the result.
    """

    result: Json = None
    closed: bool = False
    happened: bool = False
    fallback: bool = False


class ClosedError(Permanent):
    """The step's key was closed: it was given up, and can never commit any more (rule T2)."""


class NeverEnteredError(Exception):
    """A function in a thread was given up before its turn came: it has not run, and never will."""


def key_of(command: Command) -> str:
    """The key of a transactional execution: a fallback has one of its own (rule T2).

    So has the transactional undo of a step that is none: one for each sign of an effect, so what comes late is undone.
    """
    match command.role:
        case "fallback":
            return f"{command.step_key}/fallback"
        case "undo":
            return f"{command.step_key}/undo/{command.evidence}"
        case "step" | "probe":
            return command.step_key


def keys_to_close(command: Command) -> tuple[str, ...]:
    """The keys that giving up closes.

    The fallback's is closed by an undo, and by the probe of what has fallen back: a fallback that closed its own could
    not commit, nor could one that comes after its step's probe.
    """
    gives_it_up = command.role == "undo" or (command.role == "probe" and command.evidence > 0)
    fallback = (f"{command.step_key}/fallback",) if gives_it_up else ()
    return (command.step_key, *fallback)


def effect_held(command: Command, key: str, result: Json) -> Effect:
    """What one of `keys_to_close` held."""
    return Effect(result, happened=True, fallback=key != command.step_key)


class Transactions(Protocol):
    """Runs transaction steps exactly once, and closes their keys."""

    async def run(self, command: Command, call: Call) -> Effect:
        """Run `call(transaction)` under the key of the command, in one transaction.

        Raises:
            CommitUnknown: the answer of the commit is lost. Anything else: it was rolled back.
        """
        ...

    async def close_key(self, command: Command) -> Effect:
        """Make sure that the step can never commit any more, or find its result (rule T2)."""
        ...

    async def undo(self, command: Command, call: Call) -> Effect:
        """Close the step's key and run `call(transaction, result)` in the same transaction, if it had happened."""
        ...


@record
class Surroundings:
    """What executions of a worker share: resources by type, where transactions run, threads, and injected faults."""

    resources: Mapping[type, object] = field(default_factory=dict[type, object])
    transactions: Transactions | None = None
    run_in_thread: RunInThread | None = None
    faults: Faults = field(default_factory=dict[tuple[str, str, Role], Fault])
    worker: str | None = None
    left_running: LeftRunning | None = None
    """Told of a thread that goes on after its call was given up: its real outcome is sent all the same (rule L3)."""


async def execute(
    command: Command,
    bound: BoundHandler | None,
    here: Surroundings,
    transactional: bool,
    context: Context | None = None,
    pulse: Pulse | None = None,
) -> Outcome:
    """Run the command's handler; without one (a transaction step's built-in probe) only its key is asked.

    `transactional` says whether the *step* is a transaction step, whose undo, probe and fallback close its key.
    `context` is what the handler is given for its `Context`; without it, one that nobody looks after. `pulse` is told
    of its signs of life, and ends the call when there are none.

    Raises:
        asyncio.CancelledError: the caller cancelled it; nobody knows what happened.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    limit = asyncio.timeout(command.timeout)
    try:
        async with limit, pulse.watched() if pulse is not None and pulse.seconds is not None else nullcontext():
            outcome = await _run(command, bound, here, transactional, context)
    except ArgumentError as unfit:
        outcome = _failed(command, unfit)
    except NeverEnteredError:
        outcome = replace(outcome_of(command), kind="refused", cause="busy")
    except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes its outcome
        if isinstance(error, TimeoutError) and limit.expired():  # else it is the handler's own
            why = f"took longer than {command.timeout:g} s"
            outcome = _timed_out(command, bound, "TimeoutError", "timed_out", why)
        elif isinstance(error, TimeoutError) and pulse is not None and pulse.stopped:
            why = f"gave no heartbeat for {pulse.seconds:g} s"
            outcome = _timed_out(command, bound, "HeartbeatTimeout", "heartbeat_timeout", why)
        else:
            outcome = _failed(command, error, rolled_back=bound is not None and bound.transactional)
    return replace(outcome, started_ago=loop.time() - began, worker=here.worker)


async def _run(
    command: Command, bound: BoundHandler | None, here: Surroundings, transactional: bool, context: Context | None
) -> Outcome:
    transactions = here.transactions
    if bound is None:
        return _of_effect(command, await _needed(transactions, command).close_key(command))
    undoes = command.role == "undo" and transactional  # whether it happened, and its result, the key will say
    arguments = bound.arguments(command.arguments, command.given, without_result=undoes)
    arguments |= {name: here.resources[kind] for name, kind in bound.resources.items()}
    for parameter in bound.parameters:
        if parameter.source == "context":
            arguments[parameter.name] = context or context_of(command)
    fault = here.faults.get((command.definition, command.step, command.role))

    async def call(transaction: object = None, result: Json = None) -> Json:
        for parameter in bound.parameters:
            if parameter.source == "transaction":
                arguments[parameter.name] = transaction
            elif parameter.source == "result" and undoes:
                arguments.update(bound.arguments({**command.arguments, parameter.name: result}, command.given))
        if fault is not None:
            await _harm(fault, before=True)
        value = await _invoke(command, bound, arguments, here)
        if fault is not None and not bound.transactional:
            await _harm(fault, before=False)
        return value if bound.role == "probe" else _checked(command, bound.dump(value))

    if bound.role == "probe":
        return _of_probe(command, bound, await call())
    if transactional and command.role in ("undo", "fallback") and not (undoes and bound.transactional):
        effect = await _needed(transactions, command).close_key(command)
        if effect.happened != undoes:
            return _of_effect(command, effect)  # nothing to undo, or nothing to fall back from
        if undoes:
            return _succeeded(command, await call(None, effect.result))
    if not bound.transactional:
        return _succeeded(command, await call())
    run = _needed(transactions, command).undo if undoes else _needed(transactions, command).run
    effect = await run(command, call)
    if fault is not None and fault.kind == "maybe":
        raise CommitUnknown("injected fault: the answer of the commit was lost")
    return _of_effect(command, effect)


async def _invoke(command: Command, bound: BoundHandler, arguments: Mapping[str, Any], here: Surroundings) -> Any:
    if bound.is_async:
        value = bound.function(**arguments)
        return await value if inspect.isawaitable(value) else value  # a wrapper may have awaited it itself
    if here.run_in_thread is None:
        return bound.function(**arguments)
    gate = _Gate(bound.function)
    thread = asyncio.ensure_future(here.run_in_thread(gate.enter, arguments))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        if gate.close():
            thread.add_done_callback(look_away)
            raise NeverEnteredError(f"'{command.step}' waited for a thread until it was given up") from None
        if here.left_running is not None:
            here.left_running(command, bound, thread)
        raise


class _Gate:
    """Lets a function be entered, or be given up before, but never both: threads may all be taken (rule L5)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._entered = False
        self._closed = False

    def enter(self, **arguments: Any) -> Any:
        """Run the function, unless it was given up.

        Raises:
            NeverEnteredError: it was.
        """
        with self._lock:
            if self._closed:
                raise NeverEnteredError("given up")
            self._entered = True
        return self._function(**arguments)

    def close(self) -> bool:
        """Give it up; whether it was never entered, and never will be."""
        with self._lock:
            self._closed = not self._entered
            return self._closed


def look_away(thread: "asyncio.Future[Any]") -> None:
    """Take note of what the thread says in the end, which nobody waits for."""
    if not thread.cancelled():
        thread.exception()


def late_outcome(command: Command, bound: BoundHandler, thread: "asyncio.Future[Any]", worker: str | None) -> Outcome:
    """What a thread said that ended after its call was given up."""
    error = thread.exception()
    if isinstance(error, Exception):
        outcome = _failed(command, error)
    else:
        try:
            outcome = _succeeded(command, bound.dump(thread.result()))
        except ResultError as unfit:
            outcome = _failed(command, unfit)
    return replace(outcome, worker=worker)


async def _harm(fault: Fault, *, before: bool) -> None:
    """Do what an injected fault says; a *maybe* comes after the handler has done its work."""
    if fault.kind == "maybe" and not before:
        raise ConnectionResetError("injected fault: the answer was lost")
    if fault.kind == "fail" and before:
        raise Permanent("injected fault")
    if fault.kind == "hang" and before:
        await asyncio.get_running_loop().create_future()
    if fault.kind == "sleep" and before:
        await asyncio.sleep(fault.seconds)


def _checked(command: Command, value: Json) -> Json:
    """The result, if it is not too large to be kept."""
    size = len(orjson.dumps(value))
    if size > RESULT_BYTES_MAX:
        raise _TooLargeError(f"the result has {size:,} bytes; {RESULT_BYTES_MAX:,} are allowed: "
                             "keep it elsewhere and return its id")  # fmt: skip
    return value


class _TooLargeError(Permanent):
    """A result that cannot be kept; the handler has run, so nobody may say that nothing happened."""

    def __init__(self, message: str) -> None:
        super().__init__(message, happened=None)


def context_of(command: Command, reporter: Reporter | None = None) -> Context:
    """What the handler may know of this call."""
    return Context(
        saga_id=command.saga_id,
        step=command.step,
        attempt=command.attempt,
        idempotency_key=command.idempotency_key,
        step_key=command.step_key,
        item=command.item,
        cause=command.cause,
        turning_back=command.turning_back,
        reporter=reporter,
    )


def outcome_of(command: Command, result: Json = None) -> Outcome:
    """An outcome about this command that says nothing yet but success."""
    return Outcome(
        saga_id=command.saga_id,
        opened_by=command.opened_by,
        attempt=command.attempt,
        step=command.step,
        item=command.item,
        role=command.role,
        kind="succeeded",
        result=result,
        trace=command.trace,
    )


def _succeeded(command: Command, result: Json) -> Outcome:
    return outcome_of(command, result)


def _of_effect(command: Command, effect: Effect) -> Outcome:
    return replace(
        outcome_of(command),
        result=None if command.role == "undo" else effect.result,
        closed=effect.closed and command.role != "fallback",
        happened=effect.happened,
        fallback=effect.fallback and command.role == "probe",
    )


def _of_probe(command: Command, bound: BoundHandler, answer: object) -> Outcome:
    said, result, why = bound.dump_probe(answer)
    if said == "happened":
        return replace(outcome_of(command), result=result, happened=True)
    if said == "did_not_happen":
        return replace(outcome_of(command), closed=True)
    error = make_failure("CannotTell", "cannot_tell", why or "the probe cannot tell", command.attempt, retryable=True)
    return replace(outcome_of(command), kind="unknown", cause="error", error=error)


def _failed(command: Command, error: Exception, *, rolled_back: bool = False) -> Outcome:
    verdict = classify(error)
    code = "payload_too_large" if isinstance(error, _TooLargeError) else verdict.code
    lost = isinstance(error, CommitUnknown)
    nothing = verdict.nothing_happened or (rolled_back and not lost)
    judged = Verdict(nothing, verdict.retryable, code, verdict.retry_after)
    return replace(
        outcome_of(command),
        kind="failed" if nothing else "unknown",
        cause=None if nothing else "error",
        error=failure(error, command.attempt, judged),
        retry_after=None if verdict.retry_after is None else min(verdict.retry_after, RETRY_AFTER_SECONDS_MAX),
    )


def _timed_out(command: Command, bound: BoundHandler | None, kind: str, code: str, why: str) -> Outcome:
    """A transaction that ran out of time was rolled back; of anything else nobody knows."""
    rolled_back = bound is not None and bound.transactional
    error = make_failure(kind, code, f"'{command.step}' {why}", command.attempt, retryable=True,
                         happened=False if rolled_back else None)  # fmt: skip
    outcome = replace(outcome_of(command), error=error)
    return replace(outcome, kind="failed") if rolled_back else replace(outcome, kind="unknown", cause="timed_out")


def _needed(transactions: Transactions | None, command: Command) -> Transactions:
    if transactions is None:
        raise Permanent(f"'{command.step}' takes a Transaction, and this worker has no database")
    return transactions

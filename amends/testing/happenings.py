"""What may happen to a saga, in a test of its decisions: an outcome, a signal, time, an operator's word."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from amends.testing.answers import NotStarted, Unknown
from consumers.classify import Verdict, classify, failure, make_failure
from sagas import events as e
from sagas.answers import CannotTell, DidNotHappen, Happened
from sagas.durations import Seconds, in_seconds
from sagas.events import Json, Recorded, Resolution
from sagas.inputs import (
    Cancel,
    ChildEnds,
    Correct,
    Due,
    Hold,
    Input,
    Outcome,
    ParentTurnsBack,
    Release,
    Resolve,
    TryAgain,
)
from sagas.manifest import Manifest, Node
from sagas.nodes import Node as Named
from sagas.state import COMMAND_KINDS, State, Wait

Name = str | Named
SCHEDULED = (e.StepScheduled, e.UndoScheduled, e.ProbeScheduled, e.FallbackScheduled)


class Situation(Protocol):
    """Where the saga stands when something happens to it."""

    manifest: Manifest
    state: State
    history: list[Recorded]
    now: float

    def stored(self, name: str | None, value: object) -> Json:
        """A value of a node, or of the input, as it is kept."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with all that becomes due."""
        ...


Happening = Callable[[Situation], Iterable[Input]]
"""What happens, as the inputs that it comes to where the saga stands."""


def outcome(step: Name, answer: object = None, *, item: int | None = None, attempt: int | None = None) -> Happening:
    """The call of a step that is out comes to its end; so does a child.

    `answer` is what the handler gives, an exception that it raises, or `Unknown()`; of a probe `Happened(...)`,
    `DidNotHappen()` or `CannotTell()`. `NotStarted()`: no worker begins it until its `schedule_timeout` is over. An
    exception says of a child that it was compensated. With an `attempt` it is the word about that one, which comes late
    if it was judged before.
    """

    def happen(here: Situation) -> Iterable[Input]:
        name = name_of(step)
        node = here.manifest.by_name.get(name)
        if node is None:
            raise AssertionError(f"saga '{here.manifest.name}' has no step called '{name}'")
        if node.kind == "child":
            yield _child_ends(here, node, answer)
            return
        if isinstance(answer, NotStarted) or answer is NotStarted:
            yield _never_begins(here, name, item)
            return
        wait = _command(here, name, item, attempt)
        yield _judged(here, node, wait, answer)

    return happen


def later(length: Seconds) -> Happening:
    """So much time passes: delays, pauses, waits and deadlines come to their end."""

    def happen(here: Situation) -> Iterable[Input]:
        here.pass_time(in_seconds(length))
        return ()

    return happen


def cancel(reason: str = "it is not wanted any more") -> Happening:
    """Somebody cancels the saga."""
    return lambda here: [Cancel(here.state.saga_id, reason, _request(here))]


def hold(reason: str = "let us look first") -> Happening:
    """An operator holds the saga."""
    return lambda here: [Hold(here.state.saga_id, reason, _request(here))]


def release(reason: str = "it may go on") -> Happening:
    """An operator lets a held saga go on."""
    return lambda here: [Release(here.state.saga_id, reason, _request(here))]


def retry(step: Name, *, item: int | None = None, reason: str = "it is mended") -> Happening:
    """An operator has a step, or its undo, tried again."""
    return lambda here: [TryAgain(here.state.saga_id, reason, _request(here), step=name_of(step), item=item)]


def correct(step: Name | None, value: object, *, item: int | None = None, reason: str = "it was wrong") -> Happening:
    """An operator replaces what a step gave, or the input where no step is named."""

    def happen(here: Situation) -> Iterable[Input]:
        name = None if step is None else name_of(step)
        kept = here.stored(name, value)
        yield Correct(here.state.saga_id, reason, _request(here), step=name, item=item, value=kept)

    return happen


def resolve(
    step: Name | None, outcome: Resolution, value: object = None, *, item: int | None = None, reason: str = "I looked"
) -> Happening:
    """An operator says what is true of a step: happened, did_not_happen, skip, undone; without a step: accept."""

    def happen(here: Situation) -> Iterable[Input]:
        name = None if step is None else name_of(step)
        kept = here.stored(name, value) if outcome == "happened" else None
        told = (here.state.saga_id, reason, _request(here))
        yield Resolve(*told, outcome=outcome, step=name, item=item, value=kept)

    return happen


def parent_turns_back() -> Happening:
    """The saga that started this one turns back."""
    return lambda here: [ParentTurnsBack(here.state.saga_id, f"parent/{here.state.version}")]


def name_of(named: Name) -> str:
    """The name of a node."""
    return named if isinstance(named, str) else named.name


def _request(here: Situation) -> str:
    return f"request/{here.state.version}"


@dataclass(frozen=True, slots=True)
class _Told:
    """Which attempt an outcome is about."""

    opened_by: int
    attempt: int
    role: Any
    item: int | None


def _command(here: Situation, name: str, item: int | None, attempt: int | None) -> _Told:
    out = [wait for wait in here.state.waits.values() if (wait.step, wait.item) == (name, item)]
    commands: list[Wait] = [wait for wait in out if wait.kind in COMMAND_KINDS and attempt in (None, wait.attempt)]
    if commands:
        return _Told(commands[0].opened_by, commands[0].attempt, commands[0].role, item)
    for entry in here.history:
        event = entry.event
        about = (event.step, event.item, event.attempt) == (name, item, attempt)
        if about and isinstance(event, SCHEDULED):
            return _Told(entry.sequence, event.attempt, _role(event), item)
    waits = ", ".join(f"{wait.step} ({wait.kind})" for wait in here.state.waits.values()) or "nothing"
    raise AssertionError(f"no call of '{name}' is out; the saga is {here.state.status} and waits for {waits}")


def _never_begins(here: Situation, name: str, item: int | None) -> Due:
    limit = here.state.wait_of(name, item, "deadline")
    if limit is None or limit.due_at is None:
        raise AssertionError(f"'{name}' has no schedule_timeout, or does not wait for a worker to begin it")
    here.pass_time(max(limit.due_at - here.now, 0.0))
    return Due(here.state.saga_id, limit.opened_by, "withdrawn")


def _role(event: e.Event) -> str:
    match event:
        case e.UndoScheduled():
            return "undo"
        case e.ProbeScheduled():
            return "probe"
        case e.FallbackScheduled():
            return "fallback"
        case _:
            return "step"


def _judged(here: Situation, node: Node, told: _Told, answer: object) -> Outcome:
    """What a worker says of such an answer."""
    raised: Any = answer
    if isinstance(answer, type) and issubclass(answer, BaseException | Unknown):
        raised = answer()

    def word(kind: Any, **more: Any) -> Outcome:
        return Outcome(here.state.saga_id, told.opened_by, told.attempt, node.name, told.item, told.role, kind, **more)

    match raised:
        case Unknown():
            error = make_failure("TimeoutError", "timed_out", f"'{node.name}' took too long", told.attempt,
                                 retryable=True)  # fmt: skip
            return word("unknown", cause="timed_out", error=error)
        case BaseException():
            verdict = classify(raised)
            nothing = verdict.nothing_happened or node.transactional
            kept = failure(raised, told.attempt, Verdict(nothing, verdict.retryable, verdict.code))
            return word("failed" if nothing else "unknown", cause=None if nothing else "error", error=kept,
                        retry_after=verdict.retry_after)  # fmt: skip
        case Happened():
            return word("succeeded", result=here.stored(node.name, cast("Any", raised).result), happened=True)
        case DidNotHappen():
            return word("succeeded", closed=True)
        case CannotTell():
            why = raised.why or "the probe cannot tell"
            error = make_failure("CannotTell", "cannot_tell", why, told.attempt, retryable=True)
            return word("unknown", cause="error", error=error)
        case _:
            return word("succeeded", result=None if told.role == "undo" else here.stored(node.name, raised))


def _child_ends(here: Situation, node: Node, answer: object) -> ChildEnds:
    step = here.state.step(node.name)
    failed = isinstance(answer, BaseException)
    turning = step.status == "undoing"
    return ChildEnds(
        here.state.saga_id, f"child/{here.state.version}", child_id=step.child or "", step=node.name,
        attempt=step.attempt, status="compensated" if failed or turning else "completed",
        result=None if failed or turning else here.stored(node.name, answer),
    )  # fmt: skip

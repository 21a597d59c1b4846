"""Values: what is recorded is what was said, and what handlers are given is what was recorded (rules O1, A10).

It keeps by itself what events say, without the fold, what handlers gave, and what people asked for. A command is put
together when it is sent: its arguments are those that stood when it was scheduled, or came since.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from amends.testing.simulator.punctual import SCHEDULES
from amends.testing.simulator.rest import told_by_key
from sagas import events as e
from sagas.events import Json, Recorded
from sagas.facts import length_of, look_up
from sagas.inputs import Correct, Input, Resolve, Send, Start
from sagas.manifest import Manifest, Node, Parameter
from sagas.state import Value

RECORDED = "O1: what is recorded was said"
GIVEN = "A10: handlers are given what is recorded"
Source = tuple[str, str | None, int | None]
Attempt = tuple[str, str, int | None, int]


@dataclass(frozen=True, slots=True)
class Told:
    """What a node gave, or the input: since when, and whether its fallback gave it."""

    since: int
    value: Json
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a call was given: values as JSON, and what is said of where they come from."""

    parameters: Sequence[Parameter]
    values: Mapping[str, Json]
    given: Mapping[str, Json]


class Said:
    """What events say of values, and what handlers and people said.

    `load` gives values that stand beside the events, `manifest_of` the definition by which a saga goes.
    """

    def __init__(
        self,
        load: Callable[[str, Value], Json],
        manifest_of: Callable[[str], Manifest],
        fail: Callable[[str, str, str], None],
    ) -> None:
        self._load = load
        self._manifest_of = manifest_of
        self._fail = fail
        self._events = 0
        self._told: dict[Source, list[Told]] = {}
        self._scheduled: dict[Attempt, int] = {}
        self._returned: dict[Attempt, Json] = {}
        self._asked: dict[tuple[str, str], Json] = {}

    def returns(self, attempt: Attempt, value: Json) -> None:
        """What a handler will give, if it comes to its end; a probe, with what the step happened."""
        self._returned[attempt] = value

    def asks(self, word: Input) -> None:
        """Somebody is about to ask for something, perhaps with a value."""
        match word:
            case Start():
                self._asked[word.saga_id, word.id] = word.input
            case Send() | Correct() | Resolve():
                self._asked[word.saga_id, word.id] = word.value
            case _:
                pass

    def record(self, manifest: Manifest, saga_id: str, entry: Recorded) -> None:
        """An event is committed."""
        self._events += 1
        event = entry.event
        source: Source = (saga_id, event.step, event.item)
        attempt = (saga_id, event.step or "", event.item, event.attempt)
        match event:
            case e.SagaStarted():
                if event.parent is None:
                    value = self._asked_for(saga_id, entry, event.input, event.payload)
                else:
                    value = self._value(saga_id, event.input, event.payload)
                    self._starts(saga_id, event.parent, value)
                self._tell(source, value)
            case (
                e.StepSucceeded()
                | e.FallbackUsed()
                | e.LateOutcomeSeen(reopens=True, outcome="succeeded")
                | (e.ProbeAnswered(answer="happened"))
            ):
                value = self._value(saga_id, event.result, event.payload)
                node = manifest.by_name[event.step or ""]
                if not told_by_key(node, event) and self._returned.get(attempt) != value:
                    text = f"{attempt[1:]} gave {self._returned.get(attempt)!r}, and {value!r} is recorded"
                    self._fail(RECORDED, saga_id, text)
                self._tell(source, value, fallback=isinstance(event, e.FallbackUsed))
            case e.StepResolved(outcome="happened"):
                self._tell(source, self._asked_for(saga_id, entry, event.result, event.payload))
            case e.ChildEnded():
                value = self._value(saga_id, event.result, event.payload)
                if event.status == "completed":
                    self._gives(saga_id, event.child_id, value)
                self._tell(source, value)
            case e.ValueCorrected():
                before = self._told.get(source)
                value = self._asked_for(saga_id, entry, event.value, event.payload)
                self._tell(source, value, fallback=before is not None and before[-1].fallback)
            case e.SignalReceived():
                value = self._asked_for(saga_id, entry, event.value, event.payload)
                if source not in self._told:
                    self._tell(source, value)
            case e.StepSkipped() | e.StepResolved(outcome="skip") | e.TimerFired(kind="signal"):
                self._tell(source, None)
            case _ if isinstance(event, (*SCHEDULES, e.ChildStarted)):
                self._scheduled[attempt] = self._events
            case _:
                pass

    def takes(self, manifest: Manifest, node: Node, attempt: Attempt, arguments: Arguments) -> None:
        """A handler is entered with these arguments."""
        for parameter in arguments.parameters:
            if parameter.source == "result" and parameter.name not in arguments.values and node.transactional:
                continue  # its key tells it, in the transaction
            value, given = arguments.values.get(parameter.name), arguments.given.get(parameter.name)
            if not self._fits(manifest, node, attempt, parameter, value, given):
                text = f"{attempt[1:]} has {parameter.name} = {value!r} {given or ''}"
                self._fail(GIVEN, attempt[0], text)

    def _fits(
        self, manifest: Manifest, node: Node, attempt: Attempt, parameter: Parameter, value: Json, given: Json
    ) -> bool:
        saga_id, _, item, _ = attempt
        since = self._scheduled.get(attempt, 0)
        match parameter.source:
            case "input":
                return any(one.value == value for one in self._known((saga_id, None, None), since))
            case "item":
                head, *fields = (node.each or "input").split(".")
                if head != "input" and manifest.by_name[head].each is not None:  # what each item of another gave
                    known = self._known((saga_id, head, item), since)
                    return any(look_up(one.value, fields) == value for one in known)
                lists = self._known((saga_id, None if head == "input" else head, None), since)
                elements = [look_up(one.value, fields) for one in lists]
                return any((many[item] if length_of(many) > (item or 0) else None) == value for many in elements)
            case "result":
                values = [one.value for one in self._known((saga_id, node.name, item), since)]
                if node.transactional:  # its key has the result, though no event may tell of it
                    mine = (saga_id, node.name, item)
                    values += [said for which, said in self._returned.items() if which[:3] == mine]
                return value in values
            case "node":
                source = manifest.by_name[parameter.of or ""]
                if source.each is None:
                    return self._is_of((saga_id, source.name, None), since, value, _said(parameter, given))
                told = cast("Sequence[Json]", given if isinstance(given, list) else ())
                how = [_said(parameter, one) for one in told] if parameter.given else None
                return self._is_list(manifest, saga_id, source, since, value, how)
            case _:
                return True

    def _is_of(self, source: Source, since: int, value: Json, fallback: bool | None) -> bool:
        known = self._known(source, since)
        return any(one.value == value and fallback in (None, one.fallback) for one in known)

    def _is_list(
        self, manifest: Manifest, saga_id: str, node: Node, since: int, value: Json, how: Sequence[bool | None] | None
    ) -> bool:
        """Whether it is what the items of a node gave; nothing, if it was skipped, or not all had ended."""
        if not isinstance(value, list):
            skipped = (saga_id, node.name, None) in self._told
            return value is None and (skipped or not self._had_ended(manifest, saga_id, node, since))
        whole = cast("Sequence[Json]", value)
        how = [None] * len(whole) if how is None else how
        if len(whole) != len(how) or len(whole) not in self._counts(manifest, saga_id, node, since):
            return False
        sources = [(saga_id, node.name, index) for index in range(len(whole))]
        items = zip(sources, whole, how, strict=True)
        return all(source in self._told and self._is_of(source, since, one, said) for source, one, said in items)

    def _had_ended(self, manifest: Manifest, saga_id: str, node: Node, instant: int) -> bool:
        """Whether by then each item of a node had given something, or it was known that there are none."""
        before = manifest.by_name.get((node.each or "").partition(".")[0])
        known = before is None or self._had_given((saga_id, before.name, None), instant)
        if before is not None and not (known or (before.each and self._had_ended(manifest, saga_id, before, instant))):
            return False
        items = range(max(self._counts(manifest, saga_id, node, instant), default=0))
        return all(self._had_given((saga_id, node.name, item), instant) for item in items)

    def _had_given(self, source: Source, instant: int) -> bool:
        told = self._told.get(source)
        return told is not None and told[0].since <= instant

    def _counts(self, manifest: Manifest, saga_id: str, node: Node, since: int) -> set[int]:
        """How many items a node had at an instant, or since: as many as the list that its `each` names."""
        head, *fields = (node.each or "input").split(".")
        before = manifest.by_name.get(head)
        if before is not None and before.each is not None:
            skipped = (saga_id, head, None) in self._told
            return {0} if skipped else self._counts(manifest, saga_id, before, since)
        lists = self._known((saga_id, None if before is None else head, None), since)
        return {length_of(look_up(one.value, fields)) for one in lists}

    def _known(self, source: Source, since: int) -> Iterator[Told]:
        """What stood at an instant, and what came since."""
        before = Told(0, None)
        for told in self._told.get(source, ()):
            if told.since > since:
                yield told
            else:
                before = told
        yield before

    def _tell(self, source: Source, value: Json, *, fallback: bool = False) -> None:
        self._told.setdefault(source, []).append(Told(self._events, value, fallback))

    def _starts(self, saga_id: str, parent: Mapping[str, Any], value: Json) -> None:
        """A child begins with what its parent had for it."""
        by, step = parent["saga_id"], parent["step"]
        head, *fields = (self._manifest_of(by).by_name[step].child_input or "input").split(".")
        since = self._scheduled.get((by, step, None, parent["attempt"]), 0)
        known = self._known((by, None if head == "input" else head, None), since)
        if not any(look_up(one.value, fields) == value for one in known):
            self._fail(GIVEN, saga_id, f"the child of {step} begins with {value!r}")

    def _gives(self, saga_id: str, child: str, value: Json) -> None:
        """A parent has what its child gave."""
        manifest = self._manifest_of(child)
        of = manifest.by_name.get(manifest.result_from or "")
        if of is None:
            fits = value is None
        elif of.each is not None:
            fits = self._is_list(manifest, child, of, self._events, value, None)
        else:
            fits = self._is_of((child, of.name, None), self._events, value, None)
        if not fits:
            self._fail(RECORDED, saga_id, f"its child {child} gives no {value!r}")

    def _asked_for(self, saga_id: str, entry: Recorded, inline: Json, payload: str | None) -> Json:
        """A value that people gave, which is to be what they asked for."""
        value, asked = self._value(saga_id, inline, payload), self._asked.get((saga_id, entry.causation))
        if value != asked:
            self._fail(RECORDED, saga_id, f"{entry.causation} asked for {asked!r}, and {value!r} is recorded")
        return value

    def _value(self, saga_id: str, inline: Json, payload: str | None) -> Json:
        return inline if payload is None else self._load(saga_id, Value(payload=payload))


def _said(parameter: Parameter, given: Json) -> bool | None:
    """What a handler is told of whether a fallback gave it; nothing is told where it does not ask."""
    return (given is not None and bool(given["fallback"])) if parameter.given else None

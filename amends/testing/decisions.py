"""`given(saga, input, …).when(…).then(…)`: what a saga decides, as a pure function, without running anything."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, cast

from amends.testing.happenings import Happening
from amends.testing.kit import Sending
from sagas.decide import decide
from sagas.definition import Saga
from sagas.events import Event, Json, Recorded
from sagas.evolve import evolve
from sagas.inputs import Answer, Due, Input, Send, Start
from sagas.manifest import Manifest
from sagas.seal import Sealed
from sagas.state import State
from sagas.statuses import SagaStatus

SAGA = "01900000-0000-7000-8000-000000000001"
NOW = 1_767_225_600.0


class SagaSoFar:
    """A saga to which something has happened. `state` and `history` are what the rules see and what they recorded."""

    def __init__(self, manifest: Manifest, sealed: Sealed | None) -> None:
        self.manifest = manifest
        self.state = State(SAGA)
        self.history: list[Recorded] = []
        self.now = NOW
        self._sealed = sealed
        self._answer = Answer("nothing", SAGA)

    @property
    def status(self) -> SagaStatus:
        """How the saga stands."""
        return self.state.status

    def when(self, *happenings: Happening | Sending) -> "WhatFollows":
        """Let something happen; what follows from it is looked at by `then`."""
        before = len(self.history)
        for happening in happenings:
            self.take(happening)
        return WhatFollows(self, [entry.event for entry in self.history[before:]], self._answer)

    def take(self, happening: Happening | Sending | Event) -> None:
        """Let something happen, or take an event as recorded."""
        if isinstance(happening, Sending):
            self.pass_time(happening.after.total_seconds())
            value = self.stored(happening.name, happening.value)
            self.give(Send(self.state.saga_id, happening.name, value, f"request/{self.state.version}"))
            return
        if isinstance(happening, Event):
            entry = Recorded(happening, self.state.version + 1, self.now, "given")
            self.state = evolve(self.state, entry)
            self.history.append(entry)
            return
        for word in happening(self):
            self.give(word)

    def give(self, word: Input) -> None:
        """Decide one input of the engine."""
        decision = decide(self.manifest, self.state, word, self.now)
        self.state, self._answer = decision.state, decision.answer
        self.history += decision.recorded

    def stored(self, name: str | None, value: object) -> Json:
        """A value of a node, or of the input, as it is kept."""
        return value if self._sealed is None else self._sealed.normalise_value(name, value)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with all that becomes due, in its order."""
        until, looked_at = self.now + seconds, set[int]()
        while True:
            open_ = [wait for wait in self.state.waits.values() if wait.opened_by not in looked_at]
            due = [wait for wait in open_ if wait.due_at is not None and wait.due_at <= until]
            if not due or self.state.held:
                break
            first = min(due, key=lambda wait: (wait.due_at or 0.0, wait.opened_by))
            looked_at.add(first.opened_by)  # the limit of a step that may have been begun stays
            self.now = max(self.now, first.due_at or 0.0)
            self.give(Due(self.state.saga_id, first.opened_by))
        self.now = until


class WhatFollows:
    """What followed: `events`, of which `kinds` are the names, and the `saga` as it stands after them."""

    def __init__(self, given: SagaSoFar, events: list[Event], answer: Answer) -> None:
        self.saga = given
        self.events = events
        self._answer = answer

    @property
    def kinds(self) -> list[str]:
        """The names of the events."""
        return [type(event).__name__ for event in self.events]

    def then(self, *expected: Event) -> SagaSoFar:
        """These events followed, in this order, and no others.

        What an event leaves at its default is not compared; of an `error` what is said of it.

        Raises:
            AssertionError: others followed; the difference is shown line by line.
        """
        wanted = [_line(event, event) for event in expected]
        found = [
            _line(event, expected[place] if place < len(expected) else event) for place, event in enumerate(self.events)
        ]
        if wanted != found:
            shown = "\n".join(difflib.ndiff(wanted, found))
            told = f"\nthe saga answered: {self._answer.detail}" if self._answer.detail else ""
            raise AssertionError(f"- is expected, + has followed:\n{shown}{told}")
        return self.saga

    def refused(self, because: str = "") -> SagaSoFar:
        """It was refused, or changed nothing, and the answer says this.

        Raises:
            AssertionError: something followed, or the answer is another.
        """
        self.then()
        detail = self._answer.detail or ""
        if because not in detail:
            raise AssertionError(f"it was refused because {because!r} is expected; the answer is {detail!r}")
        return self.saga


def given(saga: Saga[Any, Any] | Manifest, input: object = None, *happened: Happening | Sending | Event) -> SagaSoFar:
    """A saga that was started with this input, and to which this has happened since, in this order.

    What happened is said as in `when`, or as the events that were recorded. Nothing runs: no handler is called, and
    time passes only with `later`.
    """
    sealed = saga.seal() if isinstance(saga, Saga) else None
    start = SagaSoFar(saga if isinstance(saga, Manifest) else saga.seal().manifest, sealed)
    start.give(Start(SAGA, start.manifest, start.stored(None, input)))
    for happening in happened:
        start.take(happening)
    return start


def _line(event: Event, model: Event) -> str:
    """An event with those fields that its model says, if it is of its kind; else with all that it says itself."""
    says = model if type(model) is type(event) else event
    fields = [field.name for field in dataclasses.fields(event) if _is_said(says, field)]
    return " ".join([type(event).__name__, *(f"{name}={_shown(event, says, name)!r}" for name in fields)])


def _shown(event: Event, says: Event, name: str) -> object:
    """A field; of an error or of facts what the model says of them."""
    value: Json = getattr(event, name)
    model: Json = getattr(says, name)
    if isinstance(value, Mapping) and isinstance(model, Mapping):
        known = cast("Mapping[str, Json]", value)
        return {key: known.get(key) for key in cast("Mapping[str, Json]", model)}
    return cast("object", value)


def _is_said(event: Event, field: "dataclasses.Field[Any]") -> bool:
    value = getattr(event, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return bool(value != field.default_factory())
    return bool(field.default is dataclasses.MISSING or value != field.default)

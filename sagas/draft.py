"""A decision in the making: events are emitted one by one, and each is folded at once, so that the next sees it."""

from sagas.events import Event, Recorded
from sagas.evolve import evolve
from sagas.inputs import Answer, AnswerCode, Input
from sagas.manifest import Manifest, Node
from sagas.numbers import Numbers
from sagas.records import record
from sagas.state import State, StepState


@record
class Decision:
    """What follows from an input: events, the state after them, and what to tell who asked."""

    recorded: tuple[Recorded, ...]
    state: State
    answer: Answer

    @property
    def events(self) -> tuple[Event, ...]:
        """The bare events."""
        return tuple(entry.event for entry in self.recorded)


class Draft:
    """Collects the events of one decision about one saga."""

    def __init__(self, manifest: Manifest, state: State, word: Input, now: float, numbers: Numbers) -> None:
        self.manifest = manifest
        self.state = state
        self.now = now
        self.numbers = numbers
        self._causation = word.id
        self._actor: str | None = getattr(word, "actor", None)
        self._trace = word.trace
        self._recorded: list[Recorded] = []
        self._refusal: tuple[AnswerCode, str | None] | None = None

    def emit(self, event: Event) -> None:
        """Add an event and fold it."""
        entry = Recorded(
            event=event,
            sequence=self.state.version + 1,
            at=self.now,
            causation=self._causation,
            actor=self._actor,
            trace=self._trace,
        )
        self.state = evolve(self.state, entry)
        self._recorded.append(entry)

    def step(self, node: Node, item: int | None) -> StepState:
        """The state of a step as it is now."""
        return self.state.step(node.name, item)

    @property
    def changed(self) -> bool:
        """Whether anything was decided."""
        return bool(self._recorded)

    def refuse(self, detail: str) -> None:
        """Answer that the input makes no sense in this state."""
        self._refusal = ("refused", detail)

    def moved(self, detail: str) -> None:
        """Answer that the saga is not where the one who asks has seen it."""
        self._refusal = ("moved", detail)

    def remark(self, detail: str) -> None:
        """Answer that the input changes nothing, and why."""
        self._refusal = ("nothing", detail)

    def decision(self) -> Decision:
        """What was decided."""
        code, detail = self._refusal or ("accepted" if self._recorded else "nothing", None)
        answer = Answer(code, self.state.saga_id, self.state.version, self.state.status, detail)
        return Decision(tuple(self._recorded), self.state, answer)

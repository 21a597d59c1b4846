"""What the simulator compares of values: lists are as long as they are said to be, keys tell only what they can."""

import pytest
from pydantic import BaseModel

from amends import Context, Given, Saga, Transaction
from amends.testing.simulator.rest import told_by_key
from amends.testing.simulator.said import GIVEN, RECORDED, Arguments, Said
from sagas import events as e
from sagas.events import Event, Json, Recorded
from sagas.inputs import Send, Start

LINES = [0, 10, 20]


class Order(BaseModel):
    lines: list[int]
    many: bool = True


part = Saga("part", input=Order, result=list[int])


@part.step("priced", each="input.lines")
async def price(item: int) -> int:
    return item


whole = Saga("whole", input=Order)


@whole.step("weighed", each="input.lines", when="input.many")
async def weigh(item: int, context: Context) -> int:
    return item


@weigh.fallback
async def estimate(item: int) -> int:
    return item


@whole.step("doubled", each="weighed")
async def double(item: int) -> int:
    return item


@whole.step("beside")
async def stand(order: Order, context: Context) -> int:
    return 1


@stand.undo
async def fall(result: int | None, doubled: list[int] | None) -> None: ...


@whole.step("summed")
async def add(doubled: list[int] | None, weighed: list[Given[int]] | None, context: Context) -> int:
    return 1


@add.fallback
async def guess(transaction: Transaction) -> int:
    return 1


@add.undo
async def take_away(result: int | None, transaction: Transaction) -> None: ...


parts = whole.start("parts", part, input="input")
MANIFESTS = {"w": whole.seal().manifest, "p": part.seal().manifest}
EITHER = pytest.mark.parametrize("given", [[0, 10], [], None, [0, 10, 20, None], [0, 10, 21], 0])


class Watched:
    """A simulator's memory of values, and what it complained of."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self._said = Said(lambda saga_id, value: value, MANIFESTS.__getitem__, self._fails)

    def _fails(self, rule: str, where: str, detail: str) -> None:
        self.broken.append(rule)

    def record(self, saga_id: str, *events: Event) -> None:
        """Commit events of handlers that gave what is recorded."""
        for event in events:
            if isinstance(event, e.StepSucceeded):
                self._said.returns((saga_id, event.step or "", event.item, event.attempt), event.result)
            self._said.record(MANIFESTS[saga_id], saga_id, Recorded(event, 1, 0.0, "asked"))

    def start(self, saga_id: str, order: Json) -> None:
        """Somebody starts the saga."""
        manifest = MANIFESTS[saga_id]
        self._said.asks(Start(saga_id, manifest, order, request_id="asked"))
        self.record(saga_id, e.SagaStarted(definition=manifest.name, fingerprint="f", input=order))

    def enter(self, step: str, role: str, name: str, value: Json, told: Json = None) -> None:
        """A handler is given a value."""
        node = MANIFESTS["w"].by_name[step]
        handler = node.undo if role == "undo" else node.handler
        assert handler is not None
        parameters = [one for one in handler.parameters if one.name == name]
        self._said.takes(MANIFESTS["w"], node, ("w", step, None, 1), Arguments(parameters, {name: value}, {name: told}))

    def ask(self, value: Json) -> None:
        """Somebody sends a value."""
        self._said.asks(Send("w", "parts", value, "asked"))


def items(step: str, values: list[int]) -> list[Event]:
    return [e.StepSucceeded(step=step, item=place, attempt=1, result=one) for place, one in enumerate(values)]


def after_items() -> Watched:
    watched = Watched()
    watched.start("w", {"lines": LINES, "many": True})
    watched.record("w", *items("weighed", LINES), *items("doubled", LINES), e.StepScheduled(step="summed", attempt=1))
    return watched


def test_a_list_is_what_each_item_gave() -> None:
    watched = after_items()
    watched.enter("summed", "step", "doubled", LINES)
    assert watched.broken == []


@EITHER
def test_a_list_that_is_shorter_or_longer_or_not_there_is_told(given: Json) -> None:
    watched = after_items()
    watched.enter("summed", "step", "doubled", given)
    assert watched.broken == [GIVEN]


@pytest.mark.parametrize(("told", "broken"), [([False] * 3, []), ([False] * 2, [GIVEN]), ([True] * 3, [GIVEN])])
def test_whether_a_fallback_gave_it_is_told_of_each_item(told: list[bool], broken: list[str]) -> None:
    watched = after_items()
    watched.enter("summed", "step", "weighed", LINES, [{"fallback": one} for one in told])
    assert watched.broken == broken


def test_a_list_that_was_skipped_is_none_and_so_of_nothing_is_what_goes_by_its_items() -> None:
    watched = Watched()
    watched.start("w", {"lines": LINES, "many": False})
    watched.record("w", e.StepSkipped(step="weighed", why="when"), e.StepScheduled(step="summed", attempt=1))
    watched.enter("summed", "step", "doubled", [])
    assert watched.broken == []
    watched.record("w", e.StepSkipped(step="doubled", why="when"))
    watched.enter("summed", "step", "doubled", None)
    assert watched.broken == []


@pytest.mark.parametrize(("given", "broken"), [(None, []), ([None, None, None], [GIVEN]), ([], [GIVEN])])
def test_what_stands_beside_need_not_have_ended_and_is_none_then(given: Json, broken: list[str]) -> None:
    watched = Watched()
    watched.start("w", {"lines": LINES, "many": True})
    watched.record("w", e.UndoScheduled(step="beside", attempt=1))
    watched.enter("beside", "undo", "doubled", given)
    assert watched.broken == broken


def child_gives(value: Json) -> list[str]:
    watched = Watched()
    watched.start("p", {"lines": LINES})
    watched.record("p", *items("priced", LINES))
    watched.record("w", e.ChildEnded(step="parts", attempt=1, child_id="p", status="completed", result=value))
    return watched.broken


def test_the_list_that_a_child_gave_is_what_each_item_gave() -> None:
    assert child_gives(LINES) == []


@EITHER
def test_a_list_of_a_child_that_is_shorter_or_longer_or_not_there_is_told(given: Json) -> None:
    assert child_gives(given) == [RECORDED]


def given_by_people(value: Json) -> list[Event]:
    return [
        e.SignalReceived(step="parts", name="parts", value=value),
        e.ValueCorrected(step="summed", reason="r", value=value),
        e.StepResolved(step="summed", outcome="happened", reason="r", result=value),
    ]


@pytest.mark.parametrize("which", range(3))
def test_what_people_gave_is_what_they_asked_for(which: int) -> None:
    watched = Watched()
    watched.ask(3)
    watched.record("w", given_by_people(3)[which])
    assert watched.broken == []
    watched.record("w", given_by_people(4)[which])
    assert watched.broken == [RECORDED]


def test_an_input_is_what_was_asked_for() -> None:
    watched = Watched()
    watched.start("p", {"lines": LINES})
    watched.record("p", e.SagaStarted(definition="part", fingerprint="f", input={"lines": []}))
    assert watched.broken == [RECORDED]


ERROR: e.Failure = {"type": "Permanent"}


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (e.StepSucceeded(step="summed"), False),
        (e.StepFailed(step="summed", error=ERROR), False),
        (e.ProbeAnswered(step="summed", answer="happened"), False),
        (e.StepFailed(step="summed", error=ERROR, role="fallback"), True),
        (e.FallbackUsed(step="summed"), True),
        (e.LateOutcomeSeen(step="summed", outcome="succeeded", role="fallback"), True),
        (e.StepUndone(step="summed"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_key_tells_what_a_handler_in_a_transaction_gave_and_nothing_else(event: Event, told: bool) -> None:
    assert told_by_key(MANIFESTS["w"].by_name["summed"], event) == told

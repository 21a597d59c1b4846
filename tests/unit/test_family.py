"""Parents and children (rule_B5, def_R24): what each tells the other, once, twice, late, or not at all."""

from typing import Any

from orchestrator.messages import refusals
from orchestrator.payloads import Limits, shelve
from orchestrator.waits import is_message
from sagas import events as e
from sagas.inputs import Answer, Cancel, ChildEnds, Hold, ParentTurnsBack, Release, Start, TryAgain
from sagas.manifest import Manifest, Node
from sagas.state import Parent
from tests.unit.test_decisions import FAILED, SAGA, Play, node
from tests.unit.test_holding import ask

PARENT = SAGA[:-1] + "9"


def child(name: str = "c", after: tuple[str, ...] = (), step_class: Any = "child") -> Node:
    return Node(name, "child", step_class, after=after, child="other", child_input="input")


def ends(play: Play, status: str = "completed", child_id: str | None = None, **more: Any) -> Answer:
    """The child of `c` says that it has ended."""
    known = child_id or play.state.step("c").child or ""
    attempt = play.state.step("c").attempt
    return ask(play, ChildEnds(SAGA, f"{known}/9", child_id=known, step="c", attempt=attempt, status=status, **more))


def owed(play: Play) -> list[str]:
    """What others are to hear."""
    return [type(one.event).__name__ for one in play.history if is_message(play.manifest, play.state, one.event)]


def test_a_child_is_owed_its_start_and_its_end_is_waited_for() -> None:
    play = Play(child(), node("a", after=("c",)))
    assert owed(play) == ["ChildStarted"]
    assert play.find("c", "child") is not None
    assert ends(play, result={"id": 1}).code == "accepted"
    assert play.state.step("c").status == "succeeded"
    assert play.find("c", "child") is None
    assert play.find("a", "step") is not None
    assert ends(play).code == "nothing", "it says so twice"


def test_another_child_changes_nothing() -> None:
    play = Play(child())
    assert ends(play, child_id="somebody").detail == "another child is waited for"
    assert play.find("c", "child") is not None


def test_a_child_that_was_compensated_turns_its_parent_back() -> None:
    play = Play(node("a"), child(after=("a",)))
    play.tell("a")
    ends(play, "compensated")
    assert play.command("a").kind == "undo"
    assert play.state.error is not None
    assert play.state.error["type"] == "ChildFailed"


def test_a_child_under_way_is_told_to_turn_back_and_waited_for() -> None:
    play = Play(node("a"), child(after=("a",)), node("b", after=("a",)))
    play.tell("a")
    play.tell("b", "failed", error=FAILED)
    assert owed(play) == ["ChildStarted", "UndoScheduled"]
    assert play.find("a", "undo") is None, "what it depends on waits for it"
    assert ends(play).code == "nothing", "it completed before it heard of it, and turns back all the same"
    assert play.find("c", "child") is not None
    ends(play, "compensated")
    assert play.state.step("c").status == "undone"
    assert play.command("a").kind == "undo"


def test_a_child_that_has_completed_is_turned_back_with_its_parent() -> None:
    play = Play(child(), node("b", after=("c",)))
    ends(play)
    play.tell("b", "failed", error=FAILED)
    assert owed(play) == ["ChildStarted", "UndoScheduled"]
    ends(play, "closed")
    assert play.state.status == "compensated"
    assert not play.state.waits


def test_behind_the_pivot_a_child_that_failed_can_be_started_again_as_another() -> None:
    play = Play(node("p", "pivot"), child(after=("p",), step_class="retriable"))
    play.tell("p")
    first = play.state.step("c").child
    ends(play, "compensated")
    assert play.find("c", "operator") is not None
    assert ask(play, TryAgain(SAGA, "mended", "t1", step="c")).code == "accepted"
    assert play.state.step("c").child not in (None, first)
    assert ends(play, child_id=first).code == "nothing"
    ends(play)
    assert play.state.status == "completed"


class Child(Play):
    """A saga that another started."""

    def __init__(self, *nodes: Node) -> None:
        super().__init__(*nodes)
        self.state, self.history = type(self.state)(SAGA), []
        self.give(Start(SAGA, self.manifest, None, parent=Parent(PARENT, "c", 1)))


def turns_back(play: Play) -> Answer:
    return ask(play, ParentTurnsBack(SAGA, f"{PARENT}/7"))


def test_a_child_tells_its_parent_when_it_has_ended_and_turns_back_when_it_is_told() -> None:
    play = Child(node("a"))
    assert owed(play) == []
    play.tell("a")
    assert owed(play) == ["SagaCompleted"]
    assert turns_back(play).code == "accepted"
    assert play.command("a").kind == "undo"
    assert turns_back(play).code == "nothing"
    play.tell("a")
    assert play.state.status == "compensated"
    assert owed(play) == ["SagaCompleted", "SagaCompensated"]
    assert turns_back(play).code == "nothing"


def test_a_child_under_way_turns_back_at_once_and_a_held_one_at_its_release() -> None:
    play = Child(node("a"), node("b", after=("a",)))
    play.tell("a")
    ask(play, Hold(SAGA, "wait", "h1"))
    assert turns_back(play).code == "accepted"
    assert turns_back(play).code == "nothing"
    assert play.state.status == "active"
    ask(play, Release(SAGA, "go", "r1"))
    assert type(play.history[-1].event) is e.SagaTurnedBack


def test_a_child_that_was_cancelled_says_so() -> None:
    play = Child(node("a"))
    play.give(Cancel(SAGA, "no", "c1"))
    play.tell("a", "failed", error=FAILED)
    assert owed(play) == ["SagaCompensated"]


def test_a_child_that_cannot_be_started_is_a_failed_one_for_its_parent() -> None:
    manifest = Manifest(name="other", nodes=(node("a"),), input="x", input_schema={})
    start = Start("c1", manifest, None, request_id="m", parent=Parent(PARENT, "c", 1))
    word = refusals([start], [Answer("refused", "c1", detail="a NUL")])[0]
    assert isinstance(word, ChildEnds)
    assert (word.saga_id, word.step, word.attempt, word.status) == (PARENT, "c", 1, "refused")
    assert refusals([start], [Answer("known", "c1")]) == {}


def test_a_large_result_of_a_child_stands_beside_the_events_as_any_other() -> None:
    large = {"text": "x" * 10_000}
    (word,), payloads = shelve([ChildEnds(SAGA, "m", child_id="c1", step="c", attempt=1, status="completed",
                                          result=large)], Limits())  # fmt: skip
    assert isinstance(word, ChildEnds)
    assert word.payload in payloads
    assert word.kept is None

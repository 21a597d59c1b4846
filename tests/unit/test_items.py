"""Items behind the pivot: what is left out, and lists that are too long (def_R16)."""

from typing import Any

from amends import Permanent
from amends.testing import Unknown, given, later, outcome, resolve
from amends.testing import events as e
from amends.testing.decisions import SagaSoFar
from sagas.manifest import Handler, Node
from tests.unit.test_decisions import BOUND_SECONDS, node
from tests.unit.test_prove import of

NO = Permanent("no")
PATHS = (("input.items", "each"),)


def behind(*rest: Node, **more: Any) -> SagaSoFar:
    """A saga with one item behind its pivot, which is under way; what fails of it may be left out."""
    each = node("a", "retriable", after=("p",), each="input.items", item_failure="leave_out", delays=(), **more)
    return given(of(node("p", "pivot"), each, *rest, paths=PATHS), {"items": [1]}, outcome("p"))


def test_def_r16_an_item_that_fails_behind_the_pivot_is_left_out() -> None:
    behind(node("b", "retriable", after=("a",))).when(outcome("a", NO, item=0)).then(
        e.StepFailed(step="a", item=0, error={}),
        e.StepSkipped(step="a", item=0, why="left_out"),
        e.StepScheduled(step="b"),
    )


def test_def_r16_an_item_is_left_out_when_its_fallback_has_failed_too() -> None:
    fell = behind(fallback=Handler("other")).when(outcome("a", NO, item=0)).then(
        e.StepFailed(step="a", item=0, error={}), e.FallbackScheduled(step="a", item=0, attempt=2, cause="failed"),
    )  # fmt: skip
    fell.when(outcome("a", NO, item=0)).then(
        e.StepFailed(step="a", item=0, role="fallback", error={}),
        e.StepSkipped(step="a", item=0, why="left_out"),
        e.SagaCompleted(),
    )


def test_def_r16_an_item_that_nobody_knows_of_is_left_out_once_it_is_known_to_have_failed() -> None:
    unknown = behind().when(outcome("a", Unknown(), item=0))
    asked = unknown.then(
        e.StepOutcomeUnknown(step="a", item=0, cause="timed_out"),
        e.WaitOpened(step="a", item=0, kind="operator", cause="outcome_unknown"),
    )
    asked.when(later(BOUND_SECONDS + 1)).then().when(resolve("a", "did_not_happen", item=0)).then(
        e.StepResolved(step="a", item=0, outcome="did_not_happen", reason="I looked"),
        e.StepSkipped(step="a", item=0, why="left_out"),
        e.SagaCompleted(),
    )

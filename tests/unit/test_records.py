"""Records: made quickly, copied with other values, alike by their values."""

import copy
import pickle
from dataclasses import field

import pytest

from sagas.answers import DidNotHappen, Happened
from sagas.copies import changed
from sagas.inputs import Correct
from sagas.records import named_record, record, replace
from sagas.state import State, StepState, Wait


@record
class Place:
    """Some fields with defaults."""

    name: str
    floor: int = 0
    rooms: dict[str, int] = field(default_factory=dict[str, int])


@named_record
class Named:
    """Fields by name alone."""

    name: str
    floor: int = 0


def test_a_copy_has_the_changes_and_all_else_as_it_was() -> None:
    before = Place("kitchen", 2, {"a": 1})
    assert replace(before, floor=3) == Place("kitchen", 3, {"a": 1})
    assert before == Place("kitchen", 2, {"a": 1})
    assert replace(Named(name="hall"), floor=1) == Named(name="hall", floor=1)


def test_a_copy_of_a_record_that_inherits_has_all_its_fields() -> None:
    word = Correct("saga", "reason", "request", step="pay", value=1)
    assert replace(word, payload="hash") == Correct("saga", "reason", "request", step="pay", value=1, payload="hash")


def test_records_with_one_field_or_none_are_copied_as_well() -> None:
    assert replace(Happened({"id": 1}), result={"id": 2}) == Happened({"id": 2})
    assert replace(Happened({"id": 1})) == Happened({"id": 1})
    assert replace(DidNotHappen()) == DidNotHappen()


def test_a_field_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError):
        replace(Place("kitchen"), windows=2)


def test_a_part_of_a_head_that_was_written_is_copied_as_any_other() -> None:
    step, wait = StepState(status="succeeded", attempt=2), Wait(opened_by=3, kind="step")
    head = State("s", steps={("a", None): step}, waits={3: wait})
    document = head.to_json()
    for part in (step, wait):
        assert part == copy.copy(part) == pickle.loads(pickle.dumps(part))  # noqa: S301 - our own
        assert copy.copy(part).__dict__ == part.__dict__
    assert copy.deepcopy(head).to_json() == document
    after = changed(head, steps={("a", None): changed(step, attempt=3)})
    assert after.to_json() == document.replace(b'"attempt":2', b'"attempt":3')


def test_equal_records_are_one_in_a_set() -> None:
    assert len({Named(name="hall"), Named(name="hall"), Named(name="kitchen")}) == 2

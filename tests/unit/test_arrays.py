"""Columns of a batch as the statements take them."""

from math import inf

import pytest

from eventstore.arrays import PLAIN, written

COLUMNS = 37


def columns(first: list[object]) -> list[list[object]]:
    return [first, *([] for _ in range(COLUMNS - 1))]


def test_plain_columns_go_as_text_and_texts_of_users_as_they_are() -> None:
    told = written([[1, None, True, inf, "step"]] * COLUMNS)
    assert {place for place, column in enumerate(told) if column == "{1,NULL,True,inf,step}"} == PLAIN
    assert all(column == [1, None, True, inf, "step"] for place, column in enumerate(told) if place not in PLAIN)
    assert written(columns([]))[0] == "{}"


@pytest.mark.parametrize("bad", ["a,b", ""])
def test_an_id_that_would_be_two_or_none_is_refused(bad: str) -> None:
    with pytest.raises(TypeError, match="comma"):
        written(columns([bad]))

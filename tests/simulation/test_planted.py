"""Planted bugs count as found when a rule that they break is named, and only then."""

import re
from pathlib import Path

import pytest

import amends.testing.simulator as simulator
from amends.testing.simulator.checks import Violation
from tests.simulation.bugs import RULES, shown
from tests.simulation.planted import BUGS, SEEDS_MAX, find

TABLE = Path(__file__).parent.parent.parent / "docs" / "reference" / "planted-bugs.md"


def test_every_bug_breaks_rules_that_are_checked() -> None:
    told = "\n".join(path.read_text("utf-8") for path in Path(simulator.__file__).parent.glob("*.py"))
    checked = set(re.findall(r'"([A-Z]?\d+): ', told))
    for name, rules in RULES.items():
        assert rules, name
        assert set(rules) <= checked, name


@pytest.mark.parametrize("name", BUGS)
def test_every_bug_can_still_be_planted(name: str) -> None:
    """What it patches is there: code moves on, and half an hour of `make planted` is no place to learn of it."""
    with pytest.MonkeyPatch.context() as patch:
        BUGS[name](patch)


def test_what_else_goes_wrong_does_not_show_a_bug() -> None:
    other, own = (Violation(f"{mark}: so it must be", "", "", 0.0) for mark in ("11", "1"))
    assert shown("marked commands are never sent", [other, own]) == [own]


def test_every_bug_has_its_row_and_was_found_in_time() -> None:
    """The numbers are those of `make planted`."""
    rows = re.findall(r"^\| ([a-z ]+?) \| [^|]+ \| ([^|]*) \|", TABLE.read_text("utf-8"), re.MULTILINE)
    found = {name: seeds for name, seeds in rows if name != "bug"}
    assert found.keys() == BUGS.keys()
    assert all(seeds.isdecimal() and 0 < int(seeds) <= SEEDS_MAX for seeds in found.values())


def test_a_bug_is_found_by_the_seed_of_its_row() -> None:
    found = find("what has ended keeps its waits")
    assert found is not None
    assert f"| what has ended keeps its waits | 8 | {found.script.seed + 1} |" in TABLE.read_text("utf-8")

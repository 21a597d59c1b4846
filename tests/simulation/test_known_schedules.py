"""The table of known schedules is complete, and names tests that exist.

Not applicable, since mode `postgres` does not exist yet (rule L8): schedule_3 and wording_3 (unpublished waits are
claimed, expired claims are taken again), second_1 (`claim_takes`), second_2 (`switch_gap`), second_3 (`stale_mode`),
and the halves of second_4 and second_9 (`pg_held`) that are about claims. The breaker (rule B8) is refused by name, so
its refusals are not played either; those of held sagas are.
"""

import ast
import re
from pathlib import Path

import pytest

from tests.simulation.mutations import MUTATIONS
from tests.simulation.scenes import CASES, Case
from tests.simulation.test_schedules_that_must_break import KNOWN, PLAYED

ROOT = Path(__file__).parent.parent.parent
TABLE = ROOT / "docs" / "reference" / "known-schedules.md"
ROWS = {"schedule": 11, "wording": 14, "mutation": 15, "second": 17, "reasoned": 8}


def rows() -> dict[str, str]:
    """What stands beside each mark."""
    lines = re.findall(r"^\| ([a-z]+_\w+) \| (.+) \|$", TABLE.read_text("utf-8"), re.MULTILINE)
    return dict(lines)


def names_of_tests() -> set[str]:
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize(("kind", "count"), ROWS.items())
def test_every_known_schedule_has_its_row(kind: str, count: int) -> None:
    numbers = {int(mark.split("_")[1]) for mark in rows() if mark.startswith(f"{kind}_")}
    assert numbers == set(range(1, count + 1))


def test_every_row_names_tests_that_exist_or_says_why_there_is_none() -> None:
    known = names_of_tests()
    for mark, told in rows().items():
        named = re.findall(r"`(test_\w+)`", told)
        assert set(named) <= known, mark
        assert named or "not built" in told, mark


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_every_case_stands_in_the_row_of_its_mark(case: Case) -> None:
    mark = re.match(r"[a-z]+_\w+", case.play.__doc__ or "")
    assert mark is not None, "its docstring begins with its mark"
    assert f"`{case.name}`" in rows()[mark[0]]


def test_every_module_of_schedules_is_played_under_bugs_and_every_mutation_is_used() -> None:
    modules = {Path(module.__file__ or "").name for module in PLAYED}
    assert modules == {path.name for path in Path(__file__).parent.glob("test_schedules_of_*.py")}
    used = {bug for case in CASES.values() for bug in case.breaks_with}
    assert MUTATIONS.keys() <= used <= KNOWN.keys()

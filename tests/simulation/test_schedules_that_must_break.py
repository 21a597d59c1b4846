"""Each known schedule fails under the bugs that it is about: otherwise it would show nothing."""

import pytest

from tests.simulation import (
    test_schedules_of_commands,
    test_schedules_of_families,
    test_schedules_of_leases,
    test_schedules_of_memory,
    test_schedules_of_operators,
    test_schedules_of_undos,
)
from tests.simulation.mutations import MUTATIONS
from tests.simulation.planted import BUGS
from tests.simulation.scenes import CASES, Case

PLAYED = (
    test_schedules_of_commands, test_schedules_of_families, test_schedules_of_leases, test_schedules_of_memory,
    test_schedules_of_operators, test_schedules_of_undos,
)  # fmt: skip
KNOWN = {**BUGS, **MUTATIONS}
BROKEN = [(case, bug) for case in CASES.values() for bug in case.breaks_with]


@pytest.mark.parametrize(("case", "bug"), BROKEN, ids=lambda one: one.name if isinstance(one, Case) else one)
def test_a_schedule_fails_under_the_bug_that_it_is_about(case: Case, bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    KNOWN[bug](monkeypatch)
    with pytest.raises(AssertionError):
        case.play()

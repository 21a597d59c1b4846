"""The register of planted bugs."""

from collections.abc import Callable, Sequence

import pytest

from amends.testing.simulator.checks import Violation

Patch = pytest.MonkeyPatch
Bug = Callable[[Patch], None]
BUGS: dict[str, Bug] = {}
RULES: dict[str, tuple[str, ...]] = {}
"""The rules that each breaks, by their marks: whatever else goes wrong with it does not count."""


def bug(*rules: str) -> Callable[[Bug], Bug]:
    """Enter a bug by its name, with the rules that it breaks."""

    def enter(plant: Bug) -> Bug:
        name = plant.__name__.replace("_", " ")
        BUGS[name], RULES[name] = plant, rules
        return plant

    return enter


def shown(name: str, violations: Sequence[Violation]) -> list[Violation]:
    """Those violations that show the bug."""
    return [one for one in violations if one.rule.partition(":")[0] in RULES[name]]

"""The register of planted bugs."""

from collections.abc import Callable

import pytest

Patch = pytest.MonkeyPatch
Bug = Callable[[Patch], None]
BUGS: dict[str, Bug] = {}


def bug(plant: Bug) -> Bug:
    """Enter a bug by its name."""
    BUGS[plant.__name__.replace("_", " ")] = plant
    return plant

"""Our packages have plain names: another `sagas` may stand in front of ours, and then we say so (design section 9)."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("bench", "consumers", "eventstore", "marketplace", "orchestrator", "reconciler", "sagas")


class ShadowedError(Exception):
    """A package of ours is hidden by another one of its name; the text says by which."""


def check(places: Mapping[str, Path | None] | None = None) -> None:
    """Whether each of our packages stands beside `amends`. `places` is where each is found, for tests.

    Raises:
        ShadowedError: one does not.
    """
    beside = Path(__file__).resolve().parent.parent
    wrong = [
        f"'{name}' is taken from {place}" if place is not None else f"'{name}' is missing"
        for name, place in (found_places(PACKAGES) if places is None else places).items()
        if place is None or place.resolve() != beside
    ]
    if wrong:
        raise ShadowedError(
            f"{'; '.join(wrong)}; Amends has it in {beside}\n"
            "  remedy: run from another folder, rename your own package, or uninstall the foreign one"
        )


def found_places(names: Sequence[str]) -> dict[str, Path | None]:
    """The folder that each package is imported from; None for one that is not found. Imports nothing."""
    found: dict[str, Path | None] = {}
    for name in names:
        spec = find_spec(name)
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        found[name] = Path(places[0]).parent if places else None
    return found

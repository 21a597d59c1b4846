"""A breaker as users write it (def_R19)."""

from sagas.durations import Seconds
from sagas.manifest import BreakerPolicy
from sagas.options import Said
from sagas.places import place_of_caller


class Breaker:
    """Stops asking something that keeps failing. Steps of all sagas that name the same breaker share it.

    `per` is a path (`item`, `input.region`) that gives each value a breaker of its own; it opens after `failures` in a
    row and stays open for `open_for` (seconds or timedelta).

    Raises:
        DefinitionError: `failures` is below 1, or `open_for` is not a length of time.
    """

    def __init__(self, name: str, *, per: str | None = None, failures: int = 5, open_for: Seconds = 60.0) -> None:
        said = Said(place_of_caller(), f"Breaker({name!r})")
        self.policy = BreakerPolicy(
            name=said.text("name", name),
            per=said.path("per", per),
            failures=said.whole("failures", failures),
            open_for=said.seconds("open_for", open_for),
        )

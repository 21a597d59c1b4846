"""A breaker as users write it (def_R19)."""

from sagas.durations import Seconds, in_seconds
from sagas.manifest import BreakerPolicy


class Breaker:
    """Stops asking something that keeps failing. Steps of all sagas that name the same breaker share it.

    `per` is a path (`item`, `input.region`) that gives each value a breaker of its own; it opens after `failures` in a
    row and stays open for `open_for` (seconds or timedelta).

    Raises:
        ValueError: `failures` is below 1, or `open_for` is not a length of time.
    """

    def __init__(self, name: str, *, per: str | None = None, failures: int = 5, open_for: Seconds = 60.0) -> None:
        if failures < 1:
            raise ValueError(f"Breaker({name!r}): failures={failures}; at least 1 is needed")
        self.policy = BreakerPolicy(name=name, per=per, failures=failures, open_for=in_seconds(open_for))

"""Points in production code at which a simulation makes something rare happen; disarmed they are one comparison."""

from collections.abc import Callable

Armed = Callable[[str], bool]
_armed: Armed | None = None


def buggify(point: str) -> bool:
    """Whether the rare thing that this point names is to happen now; in production never."""
    return _armed is not None and _armed(point)


def arm(armed: Armed | None) -> None:
    """Let a simulation decide; None disarms every point."""
    global _armed
    _armed = armed

"""What happened in a run, in order: for its hash, for the timeline of a failure, and for its markers."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from amends.testing.simulator.hosts import HOST, Host, SimulatedLoop
from sagas.events import StepFailed, StepRefused, TimerFired
from sagas.manifest import Manifest

EXPECTED = ("entry %s of %s is set aside: %s",)
"""Errors that production code logs of what a fault has put there."""
Line = tuple[float, str, str, tuple[Any, ...]]


class Trace:
    """Lines of (time, host, what, details)."""

    def __init__(self, loop: SimulatedLoop, *, verbose: bool = False) -> None:
        self.lines: list[Line] = []
        self.markers: dict[str, int] = {}
        self.errors: list[str] = []
        self.verbose = verbose
        self._loop = loop

    def tell(self, what: str, host: Host | None, *details: Any) -> None:
        """Something happened."""
        self.lines.append((round(self._loop.now, 6), "" if host is None else host.name, what, details))

    def mark(self, marker: str) -> None:
        """A place was reached that runs are to reach now and then."""
        self.markers[marker] = self.markers.get(marker, 0) + 1

    def timeline(self) -> list[str]:
        """The lines for people."""
        return [
            f"{at:9.3f}  {host or '-':14} {what}{' ' if details else ''}{' '.join(map(_word, details))}"
            for at, host, what, details in self.lines
        ]


def marker_of(event: Any) -> str:
    """What an event is called among the markers."""
    if isinstance(event, StepRefused):
        return f"StepRefused {event.reason}"
    if isinstance(event, StepFailed) and event.error["code"] == "not_started":
        return "StepFailed not_started"
    if isinstance(event, TimerFired):
        return f"TimerFired {event.kind}"
    cause = getattr(event, "cause", None) or getattr(event, "outcome", None) or ""
    return f"{type(event).__name__} {cause}".strip()


def marker_of_child(manifest: Manifest, child: str) -> str:
    """How the start of a child is called among the markers."""
    where = "is the pivot" if manifest.by_name[child].pivot else "may be turned back"
    return f"a child {'is behind the pivot' if child in manifest.behind_pivot else where}"


def _word(detail: Any) -> str:
    if isinstance(detail, tuple):
        parts = [str(part) for part in cast("tuple[object, ...]", detail) if part is not None]
        return "/".join(part[-12:] if "-7000-" in part else part for part in parts)
    return str(detail)


class _Listener(logging.Handler):
    """Production code's own words: each kind is a marker; in a verbose run they are lines as well."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        trace = self._trace
        if record.levelno >= logging.WARNING:
            trace.mark(f"log: {record.msg}")
        if record.exc_info or (record.levelno >= logging.ERROR and record.msg not in EXPECTED):
            trace.errors.append(f"{record.getMessage()}: {record.exc_info[1] if record.exc_info else ''!r}")
        if trace.verbose:
            trace.tell(f"says: {record.getMessage()}", HOST.get())


@contextmanager
def logged(trace: Trace, *, verbose: bool) -> Generator[None]:
    """Listen to what production code says, and keep it from everybody else."""
    logger = logging.getLogger("amends")
    listener = _Listener(trace)
    before = logger.level, logger.propagate, logger.handlers
    logger.handlers, logger.propagate = [listener], False
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield
    finally:
        logger.level, logger.propagate, logger.handlers = before[0], before[1], before[2]
        logger.setLevel(before[0])

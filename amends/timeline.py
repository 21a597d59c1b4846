"""A saga's history as lines that people read: what happened, when, and why."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sagas import events as e
from sagas.durations import readable
from sagas.events import Event, Recorded
from sagas.versions import Newer


def timeline(history: Sequence[Recorded]) -> list[str]:
    """One line for each event: seconds since the start, and what it says."""
    if not history:
        return []
    began = history[0].at
    return [f"{entry.at - began:>9.3f} s  {entry.sequence:>3}  {sentence(entry.event)}" for entry in history]


def instant(at: float) -> str:
    """An instant as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sentence(event: Event) -> str:
    """What an event says."""
    name = event.type if isinstance(event, Newer) else type(event).__name__
    parts = [f"{name:<20}"]
    if event.step is not None:
        parts.append(event.step if event.item is None else f"{event.step}[{event.item}]")
        if event.attempt > 1:
            parts.append(f"attempt {event.attempt}")
    parts += list(_details(event))
    return " ".join(parts).rstrip()


def _details(event: Event) -> Iterable[str]:
    role = getattr(event, "role", "step")
    if role != "step" and isinstance(event, e.StepFailed | e.StepRefused | e.StepOutcomeUnknown | e.LateOutcomeSeen):
        yield f"({role})"
    for name in ("cause", "why", "outcome", "answer"):
        value = getattr(event, name, None)
        if value is not None and value != "first":
            yield f"[{value}]"
    error = getattr(event, "error", None)
    if error is not None:
        yield f"{error['type']}: {error['message']}"
    reason = getattr(event, "reason", None)
    if reason is not None and not isinstance(event, e.StepRefused):
        yield f"because {reason}"
    elif isinstance(event, e.StepRefused):
        yield f"[{event.reason}]"
    retry_in = getattr(event, "retry_in", None)
    if retry_in is not None:
        yield f"again in {readable(round(retry_in, 3))}"
    worker = getattr(event, "worker", None)
    if worker is not None:
        yield f"by {worker}"
    if isinstance(event, e.StepProgressed):
        yield f"{event.percent} %"
        yield event.message
    if getattr(event, "late", False):
        yield "(late)"

"""A job as the events of its saga tell it: the same states as the job view of the API (req. X6).

A job is pending until its first step begins and while something waits to be tried again; active while a step runs,
while it is held, waits for an operator or is undone; at the end completed or failed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEDULES = frozenset({"StepScheduled", "FallbackScheduled"})
ANSWERS = frozenset({"StepSucceeded", "FallbackUsed", "StepSkipped", "StepUndone", "StepResolved"})
TRIED = frozenset({"StepFailed", "StepOutcomeUnknown", "StepRefused"})
ENDINGS = {"SagaCompleted": "completed", "SagaCompensated": "failed", "SagaFailed": "failed"}
TURNED_BACK = "the saga was turned back"


@dataclass
class Job:
    """What is known of a job. `steps`: the attempt that is owed, `running` or `retrying`; `desks`: who asks people."""

    begun: bool = False
    back: bool = False
    held: bool = False
    ended: str | None = None
    ended_at: float | None = None
    attempts: int = 1
    error: str | None = None
    steps: dict[str, int | str] = field(default_factory=dict[str, "int | str"])
    desks: list[str] = field(default_factory=list[str])

    @property
    def status(self) -> str:
        """What people are shown."""
        if self.ended is not None:
            return self.ended
        if self.back or self.held or self.desks or "running" in self.steps.values():
            return "active"
        return "active" if self.begun and "retrying" not in self.steps.values() else "pending"

    def take(self, kind: str, data: Mapping[str, Any], at: float) -> None:
        """Take one more event."""
        self.attempts = max(self.attempts, data.get("attempt") or 0)
        if kind.startswith("Saga"):
            self._take_of_saga(kind, data, at)
        else:
            self._take_of_step(kind, data, f"{data.get('step')}/{data.get('item')}")

    def _take_of_saga(self, kind: str, data: Mapping[str, Any], at: float) -> None:
        match kind:
            case "SagaTurnedBack":
                self.back, self.ended, self.ended_at = True, None, None
                self.steps = {key: state for key, state in self.steps.items() if state != "retrying"}
                self.error = _message(data) or TURNED_BACK
            case "SagaCompleted" | "SagaCompensated" | "SagaFailed":
                self.ended, self.ended_at = ENDINGS[kind], at
                self.error = None if kind == "SagaCompleted" else _message(data) or self.error
            case "SagaReopened":
                self.ended, self.ended_at = None, None
                self.back = data.get("to", "compensating") == "compensating"
            case "SagaHeld" | "SagaReleased":
                self.held = kind == "SagaHeld"
            case _:
                return

    def _take_of_step(self, kind: str, data: Mapping[str, Any], key: str) -> None:
        ago = data.get("started_ago") or data.get("ago")
        self.begun = self.begun or bool(ago) or kind in ("StepStarted", "StepSucceeded", "StepFailed")
        if kind in SCHEDULES:
            self.steps[key] = data["attempt"]
        elif kind == "StepStarted" and self.steps.get(key) == data["attempt"]:
            self.steps[key] = "running"
        elif kind in TRIED:
            self._tried(kind, data, key)
        elif kind in ANSWERS or kind in ("UndoScheduled", "ProbeAnswered"):
            self.steps.pop(key, None)
        if kind == "WaitOpened":
            self._waits(data, key)
        elif kind in ANSWERS or kind == "RetryRequested" or (kind == "ProbeAnswered" and data["answer"] == "happened"):
            self.desks = [other for other in self.desks if other != key]

    def _waits(self, data: Mapping[str, Any], key: str) -> None:
        if data.get("kind") == "operator":
            self.desks.append(key)
        elif data.get("kind") == "retry" and data.get("role", "step") in ("step", "fallback"):
            self.steps[key] = "retrying"

    def _tried(self, kind: str, data: Mapping[str, Any], key: str) -> None:
        role = data.get("role", "step")
        again = data.get("again_in" if kind == "StepRefused" else "retry_in") is not None
        if again and role in ("step", "fallback"):
            self.steps[key] = "retrying"
        elif not (again and kind == "StepRefused"):
            self.steps.pop(key, None)
        if not self.back and role in ("step", "fallback"):
            self.error = _message(data) or self.error


def _message(data: Mapping[str, Any]) -> str | None:
    error: Mapping[str, Any] = data.get("error") or {}
    return error.get("message")

"""How sagas and steps stand, and what a saga waits for: words alone, so that whoever needs no more loads no more."""

from typing import Literal

SagaStatus = Literal["active", "compensating", "completed", "compensated", "failed"]
StepStatus = Literal[
    "pending", "scheduled", "running", "retrying", "succeeded", "failed", "unknown", "skipped", "undoing", "undone",
    "undo_failed",
]  # fmt: skip
WaitKind = Literal[
    "step", "undo", "probe", "fallback", "retry", "timer", "signal", "breaker", "child", "deadline", "notify",
    "operator",
]  # fmt: skip

"""What the contract of the transport is checked with: one command, one outcome, and how one connects."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

from consumers.receiver import CommandReceiver
from sagas.inputs import Outcome, Progressed, Started
from sagas.ports import Command, CommandSender

COMMAND = Command(
    saga_id="01900000-0000-7000-8000-000000000001",
    opened_by=2,
    definition="trip",
    fingerprint="f",
    step="hotel",
    item=None,
    role="step",
    attempt=1,
    queue="default",
    priority="normal",
    timeout=10.0,
    arguments={"request": {"city": "Lima"}},
)
OUTCOME = Outcome(COMMAND.saga_id, 2, 1, "hotel", None, "step", "succeeded", result={"ok": True})
STARTED = Started(COMMAND.saga_id, 2, 1, "hotel", None, 1.0, "w")
PROGRESSED = Progressed(COMMAND.saga_id, 2, 1, "hotel", None, 1, 50, "half", "w")


class Transport(CommandSender, CommandReceiver, Protocol):
    """Both sides."""


def as_sent(command: Command) -> Command:
    """The command without what the transport adds."""
    return replace(command, incarnation="", sent_ms=0)


Connect = Callable[[str], Transport]
Raw = Callable[..., Awaitable[Any]]

"""Test sagas as plain functions: in memory, on virtual time, without a server."""

from amends.testing.answers import NotStarted, Unknown
from amends.testing.decisions import given
from amends.testing.faults import Fault
from amends.testing.happenings import cancel, correct, hold, later, outcome, parent_turns_back, release, resolve, retry
from amends.testing.kit import Run, assert_undone_for_each_failure, run, send
from amends.testing.simulator.batch import simulate_sagas as simulate
from sagas import events

__all__ = [
    "Fault", "NotStarted", "Run", "Unknown", "assert_undone_for_each_failure", "cancel", "correct", "events", "given",
    "hold", "later", "outcome", "parent_turns_back", "release", "resolve", "retry", "run", "send", "simulate",
]  # fmt: skip

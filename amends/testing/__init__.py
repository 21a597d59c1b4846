"""Test sagas as plain functions: in memory, on virtual time, without a server."""

from amends.testing.answers import NotStarted, Unknown
from amends.testing.kit import Run, assert_undone_for_each_failure, run, send

__all__ = ["NotStarted", "Run", "Unknown", "assert_undone_for_each_failure", "run", "send"]

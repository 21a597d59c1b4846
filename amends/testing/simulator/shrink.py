"""The smallest script that still fails: things that happen are left out, as long as the same rule breaks (ddmin)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from amends.testing.simulator.script import Fault, Request, Saga, Script
from amends.testing.simulator.system import Result

T = TypeVar("T")
RUNS_MAX = 400
SECONDS_MAX = 120.0


class Shrinking:
    """Shrinks one failure. `run` runs a script; `runs` counts how often it did."""

    def __init__(self, found: Result, run: Callable[[Script], Result]) -> None:
        self.best = found
        self.runs = 0
        self._run = run
        self._rule = found.violations[0].rule
        self._until = time.monotonic() + SECONDS_MAX

    def shrink(self) -> Result:
        """Leave out faults, then requests, then sagas, until nothing more can go."""
        while True:
            before = self.best.script.length
            self._settings()
            self._list(list(self.best.script.faults), self._with_faults)
            self._list(list(self.best.script.requests), self._with_requests)
            self._list([place for place, saga in enumerate(self.best.script.sagas) if saga.kept], self._with_sagas)
            if self.best.script.length == before or self._enough():
                return self.best

    def _settings(self) -> None:
        for plainer in (
            {"points": 0.0}, {"same_names": False}, {"inline_bytes": 8192}, {"batch": 500}, {"reconcilers": 0},
            {"orchestrators": 1},
        ):  # fmt: skip
            self._try(replace(self.best.script, **plainer))

    def _list(self, things: list[T], made: Callable[[Sequence[T]], Script]) -> None:
        """Leave out ever smaller parts of a list."""
        size = max(len(things) // 2, 1)
        while things and not self._enough():
            left = things
            for place in range(0, len(things), size):
                part = things[place : place + size]
                without = [one for one in left if one not in part]
                if len(without) < len(left) and self._try(made(without)):
                    left = without
            if len(left) == len(things) and size == 1:
                return
            things, size = left, max(min(size, len(left)) // 2, 1)

    def _with_faults(self, faults: Sequence[Fault]) -> Script:
        return replace(self.best.script, faults=tuple(faults))

    def _with_requests(self, requests: Sequence[Request]) -> Script:
        return replace(self.best.script, requests=tuple(requests))

    def _with_sagas(self, kept: Sequence[int]) -> Script:
        sagas: list[Saga] = [replace(saga, kept=place in kept) for place, saga in enumerate(self.best.script.sagas)]
        return replace(self.best.script, sagas=tuple(sagas))

    def _enough(self) -> bool:
        return self.runs >= RUNS_MAX or time.monotonic() > self._until

    def _try(self, script: Script) -> bool:
        if script == self.best.script or self._enough():
            return False
        self.runs += 1
        result = self._run(script)
        if any(violation.rule == self._rule for violation in result.violations):
            self.best = result
            return True
        return False

"""What is true outside while a schedule is played, and handlers that go on when the test says so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from amends.testing.simulator.database import EPOCH
from amends.testing.simulator.examples import example
from amends.testing.simulator.outside import Execution, Outside, Work
from sagas.answers import CannotTell, DidNotHappen, Happened
from sagas.binding import BoundHandler
from sagas.manifest import Manifest, Role

BY_HAND: Final = "by hand"
"""A plan: the handler waits for the test."""
Plan = str | Exception


class Call:
    """One entry into a handler. `landed`: its effect is there; `cancelled`: its worker has called it off."""

    def __init__(self, ledger: "Ledger", here: Execution, answer: "asyncio.Future[None]") -> None:
        self.saga_id, self.step, self.item = here.key
        self.role: Role = here.role
        self.attempt = here.attempt
        self.host = here.host
        self.at = EPOCH + here.at
        self.landed = self.cancelled = False
        self._ledger = ledger
        self._here = here
        self.answer = answer

    def land(self) -> None:
        """Its request arrives, whatever has become of whoever sent it."""
        if not self.landed:
            self.landed = True
            self._ledger.lands(self._here)

    def succeed(self) -> None:
        """Its request has arrived, and its answer as well."""
        if not self.answer.done():
            self.answer.set_result(None)

    def fail(self, error: Exception) -> None:
        """It ends with an error."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass
class Ledger(Outside):
    """The world outside. What no plan speaks of is done at once.

    `plans` says what a step's role does, under one of its attempts or, with attempt 0, under every other.
    """

    calls: list[Call] = field(default_factory=list[Call])
    plans: dict[tuple[str, Role, int], Plan] = field(default_factory=dict[tuple[str, Role, int], Plan])

    def _stand_in(self, manifest: Manifest, bound: BoundHandler) -> BoundHandler:
        other = super()._stand_in(manifest, bound)
        other.is_async = bound.is_async
        return other

    def lands(self, here: Execution) -> None:
        """The effect of an execution is there."""
        self._land(here)

    async def _conducted(
        self, bound: BoundHandler, work: Work, here: Execution, staged: list[Callable[[], None]] | None
    ) -> Any:
        step, role = here.key[1], here.role
        call = Call(self, here, self.loop.create_future())
        self.calls.append(call)
        plan = self.plans.get((step, role, here.attempt), self.plans.get((step, role, 0)))
        try:
            if plan == BY_HAND:
                await call.answer
            elif isinstance(plan, Exception):
                raise plan
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        if role == "probe":
            return self._probed(bound, work.schema, here)
        if staged is not None:
            staged.append(call.land)
        else:
            call.land()
        return None if role == "undo" else self._made(bound, here, example(work.schema, Random(0)))

    def _probed(self, bound: BoundHandler, schema: Any, here: Execution) -> Happened[Any] | DidNotHappen | CannotTell:
        there = here.key in self.there
        return Happened(self._made(bound, here, example(schema, Random(0)))) if there else DidNotHappen()

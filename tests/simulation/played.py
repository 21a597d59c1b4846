"""A system without a script: who does what is said by a scene."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from amends.testing.simulator import script
from amends.testing.simulator.system import System
from amends.testing.simulator.watched import WatchedServer
from consumers.wire import Command
from sagas.definition import Saga
from sagas.numbers import DEFAULT_NUMBERS
from sagas.seal import Sealed
from tests.simulation.ledger import Ledger

LEASE_SECONDS = DEFAULT_NUMBERS.lease_seconds


class Server(WatchedServer):
    """A server that tells of every command, after it was done."""

    heard: Callable[[Command, Any], None]

    def execute(self, command: Command) -> Any:
        """The answer to a command."""
        answer = super().execute(command)
        self.heard(command, answer)
        return answer


class Played(System):
    """A system without a script: who does what is said by the scene."""

    def __init__(self, sagas: Sequence[Saga[Any, Any]], settings: dict[str, Any]) -> None:
        plain: dict[str, Any] = {
            "concurrency": 4,
            "batch": 500,
            "inline_bytes": 8192,
            "idle_seconds": 0.5,
            "points": 0.0,
        }
        plain |= {"lease_seconds": LEASE_SECONDS, "same_names": False, "requests": (), "faults": ()}
        kept = tuple(script.Saga(0.0, place, 0.0, kept=False) for place in range(len(sagas)))
        super().__init__(replace(script.draw(1, 1), **{**plain, **settings}, sagas=kept), sagas, verbose=True)
        checks = self.checks
        self.ledger = Ledger(self.loop, 1, checks.executes, self.trace.tell, checks.fail, LEASE_SECONDS, checks.said)
        self.outside = checks.outside = self.ledger
        self.handlers = {name: self.ledger.bind(one) for name, one in self.sealed.items()}
        self.run_in_thread = _in_thread
        self.server: Server = Server(lambda: self._now("streams"), self.checks)
        self.faults.connect_host = lambda host: None  # type: ignore[method-assign] # who is dead stays so

    def handlers_of(self, worker: str) -> Mapping[str, Sealed]:
        """Every worker has everything."""
        return self.handlers


async def _in_thread(call: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """What stands for a thread: who waits for it may be cancelled, and it goes on."""
    return await call(**arguments)

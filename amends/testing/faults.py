"""What a test lets go wrong around handlers: a worker that dies, a command that is lost, an outcome that comes late."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from amends.testing.answers import Answers, Place, name_of, place_of
from amends.testing.pace import LEASE_SECONDS
from amends.testing.virtual import IN_HANDLER
from consumers.inprocess import Broker, InProcessTransport
from sagas.definition import Saga
from sagas.durations import Seconds, in_seconds
from sagas.inputs import Outcome, Word
from sagas.ports import Command, OutcomeDelivery

LOOKED_FOR_SECONDS = 0.5
"""How often lost workers are looked for (rule L1)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one attempt of a step, around its handler.

    `WORKER_DIES`: the handler did its work, and nobody hears of it. `COMMAND_LOST`: it never runs. `RUNS_TWICE`: two
    workers run it at once. `Fault.late(after)`: it is given up at its timeout, and its outcome comes so long after.
    """

    kind: Literal["worker_dies", "command_lost", "runs_twice", "late"]
    after_seconds: float = 0.0

    WORKER_DIES: ClassVar["Fault"]
    COMMAND_LOST: ClassVar["Fault"]
    RUNS_TWICE: ClassVar["Fault"]

    @classmethod
    def late(cls, after: Seconds) -> "Fault":
        """The outcome comes so long after the attempt was given up."""
        return cls("late", in_seconds(after))


Fault.WORKER_DIES = Fault("worker_dies")
Fault.COMMAND_LOST = Fault("command_lost")
Fault.RUNS_TWICE = Fault("runs_twice")


class Faults:
    """The faults of one run, and which of them have struck."""

    def __init__(self, saga: Saga[Any, Any], faults: Mapping[Any, Fault | Sequence[Fault | None]]) -> None:
        self._of = {
            place_of(saga, key): [told] if isinstance(told, Fault) else list(told) for key, told in faults.items()
        }
        self._definition = saga.name
        self._left = {place: sum(fault is not None for fault in many) for place, many in self._of.items()}
        self._calls: dict[tuple[Place, int | None], int] = {}
        self._struck: dict[tuple[int, int], tuple[Fault, Command]] = {}
        self.to_come = 0
        """Words that are late, and have not been judged yet."""
        self.late_entries: set[str] = set()
        self.judged: Callable[[], None] = lambda: None
        """Called when a late word has been judged."""

    def unused(self) -> list[str]:
        """The steps with faults that never struck."""
        return [name_of(place) for place, left in self._left.items() if left > 0]

    def strike(self, command: Command) -> Fault | None:
        """What goes wrong with a command, which is about to be sent."""
        place: Place = (command.step, command.role)
        if command.definition != self._definition or place not in self._of:
            return None
        call = self._calls[place, command.item] = self._calls.get((place, command.item), -1) + 1
        fault = self._of[place][call] if call < len(self._of[place]) else None
        if fault is not None:
            self._left[place] -= 1
            self._struck[command.opened_by, command.attempt] = (fault, command)
        return fault

    def of(self, word: Outcome, saga_id: str) -> tuple[Fault, Command] | None:
        """What went wrong with the attempt that an outcome is about; it strikes once."""
        key = (word.opened_by, word.attempt)
        return self._struck.pop(key, None) if word.saga_id == saga_id else None


class FaultySender(InProcessTransport):
    """Sends commands; some are lost, some are sent twice, and some to where no worker looks."""

    def __init__(self, broker: Broker, faults: Faults, given: Answers) -> None:
        super().__init__(broker, "orchestrator")
        self._faults = faults
        self._given = given
        self._sent_to = broker

    async def publish(self, commands: Sequence[Command], before: float) -> list[str | None]:
        """Put commands into their queues."""
        names: list[str | None] = []
        for command in commands:
            fault = self._faults.strike(command)
            if fault == Fault.COMMAND_LOST:
                names.append(self._sent_to.name())
                continue
            never = self._given.never_begun(command.definition, command.step, command.role)
            sent = replace(command, queue="nobody's") if never else command
            copies = [sent, sent] if fault == Fault.RUNS_TWICE else [sent]
            names.append((await super().publish(copies, before))[0])
        return names

    async def acknowledge(self, entries: Sequence[str]) -> None:
        """Forget outcomes."""
        await super().acknowledge(entries)
        if judged := self._faults.late_entries.intersection(entries):
            self._faults.late_entries -= judged
            self._faults.to_come -= len(judged)
            self._faults.judged()


class FaultyWorker(InProcessTransport):
    """Sends what a worker says; some of it is never heard, and some comes late."""

    def __init__(self, broker: Broker, consumer: str, faults: Faults, saga_id: str) -> None:
        super().__init__(broker, consumer)
        self._faults = faults
        self._heard_by = broker
        self._saga_id = saga_id

    async def send(self, words: Sequence[Word]) -> None:
        """Put outcomes into their stream."""
        heard: list[Word] = []
        for word in words:
            found = self._faults.of(word, self._saga_id) if isinstance(word, Outcome) else None
            if not isinstance(word, Outcome) or found is None or found[0] == Fault.RUNS_TWICE:
                heard.append(word)
                continue
            fault, command = found
            silent = replace(word, kind="unknown", result=None, payload=None, error=None, closed=False, happened=False,
                             fallback=False)  # fmt: skip
            if fault == Fault.WORKER_DIES:
                self._later(LEASE_SECONDS + LOOKED_FOR_SECONDS, replace(silent, cause="worker_lost"))
            else:
                self._later(command.timeout, replace(silent, cause="timed_out"))
                self._later(command.timeout + fault.after_seconds, word)
        if heard:
            await super().send(heard)

    def _later(self, seconds: float, word: Outcome) -> None:
        self._faults.to_come += 1
        token = IN_HANDLER.set(True)  # the time until then counts, as that of a handler
        try:
            asyncio.get_running_loop().call_later(seconds, self._put, word)
        finally:
            IN_HANDLER.reset(token)

    def _put(self, word: Outcome) -> None:
        loop = asyncio.get_running_loop()
        entry = OutcomeDelivery(self._heard_by.name(), word)
        self._heard_by.words.append(entry)
        self._faults.late_entries.add(entry.entry)
        self._heard_by.came[entry.entry] = loop.time()
        self._heard_by.signal()

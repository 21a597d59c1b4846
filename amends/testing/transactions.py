"""Transaction steps without a database: their keys in memory, no tables (rules T1, T2)."""

from collections.abc import Awaitable

from amends.testing.answers import Answers, LostError
from consumers.execution import Call, ClosedError, Effect, effect_held, key_of, keys_to_close
from sagas.events import Json
from sagas.ports import Command, CommitUnknown


class MemoryTransactions:
    """Keeps the keys of one run. A handler that runs gets the test's `Transaction`."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._kept: dict[str, Json] = {}
        self._closed: set[str] = set()

    async def run(self, command: Command, call: Call) -> Effect:
        """Run a transaction step once."""
        key = key_of(command)
        if key in self._closed:
            raise ClosedError(f"the key {key} is closed: the step was given up")
        if key not in self._kept:
            await self._commit(key, call(self._answers.transaction(command.definition, command.step, command.role)))
        return Effect(self._kept[key])

    async def close_key(self, command: Command) -> Effect:
        """Close the step's key, and the fallback's for an undo, or find the result."""
        happened: Effect | None = None
        for key in keys_to_close(command):
            if key in self._kept:
                happened = effect_held(command, key, self._kept[key])
            else:
                self._closed.add(key)
        return happened or Effect(closed=True)

    async def undo(self, command: Command, call: Call) -> Effect:
        """Undo what happened, once."""
        found = await self.close_key(command)
        key = f"{command.step_key}/undo"
        if not found.closed and key not in self._kept:
            await self._commit(
                key, call(self._answers.transaction(command.definition, command.step, command.role), found.result)
            )
        return Effect(closed=found.closed)

    async def _commit(self, key: str, calling: Awaitable[Json]) -> None:
        try:
            self._kept[key] = await calling
        except LostError as lost:
            if lost.happened:
                self._kept[key] = lost.result
            raise CommitUnknown("the answer of the commit was lost") from None

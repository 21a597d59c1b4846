"""Large arguments of commands, which stand beside the events and not in the stream (rule C2)."""

import asyncio
import logging
from collections.abc import Sequence

from eventstore.gathering import Asked, Gathering
from sagas.events import Json
from sagas.ports import Command, Store, StoreUnavailable
from sagas.records import replace
from sagas.state import Value

log = logging.getLogger("amends.worker")

ASSUMED_BYTES = 512 * 1024
"""Nobody knows how large they are until they have come: this bounds how many come at once."""

Wanted = tuple[str, Value]


class Loading:
    """Loads what the commands of one worker need: those that begin together have theirs by one query."""

    def __init__(self, store: Store, retry_seconds: float) -> None:
        self._store = store
        self._retry_seconds = retry_seconds
        self._gathering: Gathering[Wanted, Json] = Gathering(self._load)

    async def with_arguments(self, command: Command) -> Command:
        """The command with its large arguments; while the store is away it is asked again."""
        names = list(command.payloads)
        wanted = [(command.saga_id, Value(payload=command.payloads[name])) for name in names]
        while True:
            try:
                found = await self._gathering.ask(wanted, len(names) * ASSUMED_BYTES)
            except StoreUnavailable as loss:
                log.warning("waiting for the arguments of %s: %s", command.step_key, loss)
                await asyncio.sleep(self._retry_seconds)
                continue
            return replace(
                command, arguments={**command.arguments, **dict(zip(names, found, strict=True))}, payloads={}
            )

    async def finish(self) -> None:
        """Wait for what is being loaded."""
        await self._gathering.finish()

    async def _load(self, batch: Sequence[Asked[Wanted, Json]]) -> None:
        try:
            found = iter(await self._store.values([one for asked in batch for one in asked.words]))
        except LookupError:  # something is gone with its saga; that is no matter of the others
            for asked in batch:
                await self._load_alone(asked)
            return
        for asked in batch:
            asked.answer([next(found) for _ in asked.words])

    async def _load_alone(self, asked: Asked[Wanted, Json]) -> None:
        try:
            asked.answer(await self._store.values(asked.words))
        except LookupError as gone:
            asked.fail(gone)

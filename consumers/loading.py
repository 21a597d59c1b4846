"""Large arguments of commands, which stand beside the events and not in the stream (rule C2)."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from functools import partial

from eventstore.gathering import Asked
from sagas.events import Json
from sagas.ports import Command, Store, StoreUnavailable
from sagas.records import replace
from sagas.state import Value

log = logging.getLogger("amends.worker")

BATCH, BESIDE, PATIENCE_SECONDS = 16, 2, 0.25
"""So many commands have their arguments by one query, and so many queries run at once: each value may have a mebibyte.
One that takes longer than so many seconds does not count: its connection may be dead."""


_Asked = Asked[tuple[str, Value], Json]


class Loading:
    """Loads what the commands of one worker need: those that begin together have theirs by one query."""

    def __init__(self, store: Store, retry_seconds: float) -> None:
        self._store = store
        self._retry_seconds = retry_seconds
        self._waiting: deque[_Asked] = deque()
        self._queries: set[asyncio.Task[None]] = set()
        self._quick: set[asyncio.Task[None]] = set()
        self._closed = False

    def close(self) -> Sequence[asyncio.Task[None]]:
        """Begin no more; give the queries that run. Each is cancelled anyhow once nobody waits for it."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().answers.cancel()
        return tuple(self._queries)

    async def with_arguments(self, command: Command) -> Command:
        """The command with its large arguments; while the store is away it is asked again."""
        names = list(command.payloads)
        wanted = [(command.saga_id, Value(payload=command.payloads[name])) for name in names]
        while True:
            try:
                found = await self._ask(wanted)
            except StoreUnavailable as loss:
                log.warning("waiting for the arguments of %s: %s", command.step_key, loss)
                await asyncio.sleep(self._retry_seconds)
                continue
            return replace(
                command, arguments={**command.arguments, **dict(zip(names, found, strict=True))}, payloads={}
            )

    async def _ask(self, wanted: Sequence[tuple[str, Value]]) -> list[Json]:
        loop = asyncio.get_running_loop()
        asked = _Asked(wanted, 0, loop.create_future())
        if self._closed:
            asked.answers.cancel()
        self._waiting.append(asked)
        loop.call_soon(self._go_on)  # once all have asked that begin now
        return await asked.answers

    def _go_on(self) -> None:
        while len(self._quick) < BESIDE and (batch := self._next()):
            query = asyncio.create_task(self._load(batch))
            self._queries.add(query)
            self._quick.add(query)
            query.add_done_callback(self._queries.discard)
            query.add_done_callback(self._counts_no_more)
            query.add_done_callback(partial(_forsake, batch))
            asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._counts_no_more, query)
            for asked in batch:
                asked.answers.add_done_callback(partial(self._left, query, batch))

    def _counts_no_more(self, query: asyncio.Task[None]) -> None:
        """It has ended, or is slow, or has nobody left who waits for it: the next may begin."""
        if query in self._quick:
            self._quick.discard(query)
            self._go_on()

    def _left(self, query: asyncio.Task[None], batch: Sequence[_Asked], _: object) -> None:
        if all(asked.is_over() for asked in batch):
            query.cancel()
            self._counts_no_more(query)

    def _next(self) -> list[_Asked]:
        batch: list[_Asked] = []
        while self._waiting and len(batch) < BATCH:
            asked = self._waiting.popleft()
            if not asked.is_over():  # else its command was given up
                batch.append(asked)
        return batch

    async def _load(self, batch: Sequence[_Asked]) -> None:
        try:
            found = iter(await self._store.values([one for asked in batch for one in asked.words]))
        except StoreUnavailable as loss:
            for asked in batch:
                asked.fail(loss)
        except Exception:  # noqa: BLE001 - it is raised for whom it concerns, and no other
            for asked in batch:
                await self._load_alone(asked)
        else:
            for asked in batch:
                asked.answer([next(found) for _ in asked.words])

    async def _load_alone(self, asked: _Asked) -> None:
        try:
            asked.answer(await self._store.values(asked.words))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            asked.fail(error)


def _forsake(batch: Sequence[_Asked], _: object) -> None:
    """A query that was cancelled answers nobody."""
    for asked in batch:
        asked.answers.cancel()

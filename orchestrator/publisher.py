"""The publisher: commands go into their streams once, after the commit that owes them (rules C1, C9).

What is sent stays in memory until its wait is over or one second has passed; only what is still open then is confirmed,
by one update. Most steps end sooner and cost no write at all.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sagas.points import buggify
from sagas.ports import (
    Clock,
    Command,
    CommandSender,
    Published,
    Store,
    StoreUnavailable,
    TransportRefused,
    TransportUnavailable,
)
from sagas.records import record
from sagas.state import Waiting

log = logging.getLogger("amends.publisher")

CANCEL_SECONDS = 1.0
CONFIRM_SECONDS, AGAIN_SECONDS = 1.0, 0.25
LOOK_SECONDS = 1.0
LOOK_SELDOM_SECONDS = 5.0
"""Of who neither polls the marker nor has outcomes to say once more (rule L7): the server's clock is all it needs."""
SWEEP_SECONDS = 5.0
SEND_SECONDS_MAX = SWEEP_SECONDS / 2
BEHIND_SECONDS_MAX = 60.0


@record
class _Sent:
    at: float
    published: Published


class Publisher:
    """Sends commands and writes down which of them stand in a stream. One for each process that appends."""

    def __init__(
        self,
        store: Store,
        sender: CommandSender,
        clock: Clock,
        lease_seconds: float,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._look_seconds = look_seconds
        self._unconfirmed: dict[Waiting, _Sent] = {}
        self._look_at = 0.0
        self._looked = False
        self._refused = False
        self.behind_seconds = 0.0
        """For how long outcomes stand unread: so much later one of a command that is sent now will be applied."""

    def forget(self, over: Iterable[Waiting]) -> None:
        """These waits are over: there is nothing to confirm any more."""
        for key in over:
            self._unconfirmed.pop(key, None)

    async def publish(self, commands: Sequence[Command], decided_at: float) -> None:
        """Send the commands of a commit that was decided at `decided_at` (this process's monotonic clock).

        Nothing is raised: what was not sent, or may not have been, the sweep finds (rule C1).
        """
        if not commands:
            return
        before = decided_at + SEND_SECONDS_MAX
        if buggify("publisher.pauses"):
            await self._clock.sleep(SEND_SECONDS_MAX * random.choice((1, 2)))  # noqa: S311 - guards nothing
        if self._clock.monotonic() > before:
            log.warning("%d commands are too old to be sent; the sweep schedules them anew", len(commands))
            return
        incarnation = self._sender.incarnation
        try:
            entries = await self._sender.publish(commands, before)
        except (TransportUnavailable, StoreUnavailable) as loss:
            log.warning("nobody knows whether %d commands were sent: %s", len(commands), loss)
            return
        now = self._clock.monotonic()
        refused: list[Waiting] = []
        for command, entry in zip(commands, entries, strict=True):
            if entry is None:
                refused.append((command.saga_id, command.opened_by))
                continue
            due_in = command.timeout + 2 * self._lease_seconds + min(self.behind_seconds, BEHIND_SECONDS_MAX)
            sent = Published(command.saga_id, command.opened_by, entry, due_in, incarnation)
            self._unconfirmed[command.saga_id, command.opened_by] = _Sent(now, sent)
        if refused:
            await self._mark(refused)
        self._refused = bool(refused)

    async def confirm(self, age_seconds: float = CONFIRM_SECONDS) -> float:
        """Confirm what was sent so long ago and is not known to be over; seconds until there may be more."""
        began = self._clock.monotonic()
        ripe = [entry for entry in self._unconfirmed.values() if began - entry.at >= age_seconds]
        if ripe:
            await self._store.confirm([entry.published for entry in ripe])
            self.forget((entry.published.saga_id, entry.published.opened_by) for entry in ripe)
        oldest = next(iter(self._unconfirmed.values()), None)
        now = self._clock.monotonic()  # the store may have stood still meanwhile
        return CONFIRM_SECONDS if oldest is None else max(0.05, oldest.at + CONFIRM_SECONDS - now)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Confirm meanwhile. At the end all is confirmed that was sent: nobody else knows of it (rule C1)."""
        try:
            async with beside(self.run()):
                yield
        finally:
            await self._confirmed(0.0)

    async def run(self) -> None:
        """Confirm until it is cancelled, and look now and then whose memory the transport stands in."""
        while True:
            await self._look()
            await self._clock.sleep(await self._confirmed(CONFIRM_SECONDS))

    async def _confirmed(self, age_seconds: float) -> float:
        try:
            return await self.confirm(age_seconds)
        except StoreUnavailable as loss:
            log.warning("cannot confirm what was sent: %s", loss)
            return AGAIN_SECONDS
        except Exception:  # unconfirmed commands would all be swept: going on is the lesser evil
            log.exception("confirming failed; it goes on")
        return CONFIRM_SECONDS

    async def _look(self) -> None:
        """At the first look a memory that nobody wrote down yet counts as another one; later the transport tells."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + CONFIRM_SECONDS
        try:
            incarnation = await self._sender.look()
            if not self._looked:
                await self._store.memory_lost(incarnation)
                self._looked = True
            self._look_at = now + self._look_seconds
        except (TransportUnavailable, TransportRefused, StoreUnavailable) as loss:
            log.info("cannot look at the transport's memory: %s", loss)

    async def _mark(self, refused: Sequence[Waiting]) -> None:
        """A refusal proves that nothing arrived: the commands go out when there is room (rule C9)."""
        if not self._refused:  # a backlog is refused batch after batch
            log.warning("commands wait in the database: the transport has no room")
        try:
            await self._store.mark_unsent(refused)
        except StoreUnavailable as loss:
            log.warning("cannot mark what was refused: %s", loss)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """The work runs meanwhile, and is ended with the block."""
    running = asyncio.create_task(work)
    try:
        yield
    finally:
        while not running.done():  # a cancellation that comes together with an answer is lost (Python 3.11's wait_for)
            running.cancel()
            await asyncio.wait([running], timeout=CANCEL_SECONDS)


class Background:
    """Runs what nobody waits for, such as publishing beside an answer, and lets it end before the process does."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start and remember a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self) -> None:
        """Wait for everything that was spawned, also by what is waited for."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

"""The worker service: takes commands, runs handlers within bounds, tells what became of them (rules C3 to L6)."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from math import inf
from typing import Any

from consumers.classify import failure
from consumers.contexts import Attempts
from consumers.execution import Surroundings, execute, late_outcome, look_away, outcome_of
from consumers.handlers import Handlers
from consumers.loading import Loading
from consumers.pulse import Pulse
from consumers.receiver import CommandDelivery, CommandReceiver, LeaseKeeper
from consumers.reports import LOST, Reports
from sagas.binding import BoundHandler
from sagas.inputs import Applies, Outcome, RefusalReason, Started, UnknownCause
from sagas.points import buggify
from sagas.ports import Command, Store
from sagas.records import record, replace
from sagas.seal import Sealed

log = logging.getLogger("amends.worker")

CANCEL_SECONDS = 5.0
PATIENCE_SECONDS_MIN = 0.01
READ = 192
"""How many commands at most are read at once, a third of them of each priority: their outcomes go out while the next
are read."""


@record
class WorkerNumbers:
    """Seconds, and how many commands run at once."""

    concurrency: int = 10
    lease_seconds: float = 4.0
    look_for_idle_seconds: float = 0.5
    fresh_seconds: float = 2.5
    started_after_seconds: float = 1.0
    block_seconds: float = 1.0
    drain_seconds: float = 30.0
    retry_seconds: float = 0.25


class Worker:
    """One worker. `sagas` are the sealed sagas by name that it has handlers of; `apply` takes what Redis forgot."""

    def __init__(
        self,
        receiver: CommandReceiver,
        store: Store,
        sagas: Mapping[str, Sealed],
        here: Surroundings,
        apply: Applies,
        numbers: WorkerNumbers | None = None,
    ) -> None:
        self._receiver = receiver
        self._store = store
        self._handlers = Handlers(sagas, here.resources)
        self._here = replace(here, left_running=self._left_running)
        self._numbers = numbers or WorkerNumbers()
        self._reports = Reports(receiver, apply, self._settled, self._numbers.retry_seconds)
        self._loading = Loading(store, self._numbers.retry_seconds)
        self._attempts = Attempts(store, self._reports.mention, here.worker)
        receiver.on_memory_lost(self._reports.recover)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ahead: dict[str, tuple[CommandDelivery, float]] = {}
        self._missed = False
        self._over: list[set[str]] = []
        self._threads: set[asyncio.Future[Any]] = set()
        self._room = asyncio.Event()
        self._draining = asyncio.Event()
        self._keeper: LeaseKeeper | None = None

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of all sagas that it has handlers of."""
        return self._handlers.queues

    @property
    def running(self) -> tuple[str, ...]:
        """The entries whose commands run, or whose outcomes are not sent yet."""
        return tuple(self._running)

    def drain(self) -> None:
        """Take no more commands, end those that run within the limit, then return from `run` (rule L6)."""
        self._draining.set()

    async def run(self) -> None:
        """Work until `drain`."""
        self._keeper = self._receiver.keeper(self._lease_lost)
        sending = asyncio.create_task(self._reports.run())
        looking = asyncio.create_task(self._take_over())
        watching = asyncio.create_task(self._attempts.run())
        try:
            while not self._draining.is_set() and not await self._patiently(self._open()):
                pass
            while not self._draining.is_set():
                await self._patiently(self._turn())
                for task in (looking, sending, watching):
                    if task.done():
                        task.result()
            await self._end()
        finally:
            self._keeper.close()
            await _cancelled(looking, sending, watching, *self._loading.close())
            await self._receiver.close()

    async def _patiently(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do it; when a server is away, wait a little and let the caller come again. Whether it was done."""
        try:
            await work
        except LOST as loss:
            log.warning("waiting for the servers: %s", loss)
            await self._pause(self._numbers.retry_seconds)
            if self._keeper is not None:
                await self._keeper.renew()
            return False
        return True

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            return

    async def _open(self) -> None:
        """Take part in the groups. What a former self of this name held is not run (rule C6)."""
        await self._receiver.open(self.queues)
        await self._judge_lost([entry for entry in await self._receiver.own_pending() if not entry.claimed])

    async def _turn(self) -> None:
        """Take as many commands as there is room for. After an error `_missed` stays: some may have come with it."""
        loop, numbers = asyncio.get_running_loop(), self._numbers
        free = numbers.concurrency - len(self._running)
        if free <= 0:
            self._give_back("busy", loop.time() - numbers.fresh_seconds)
            self._room.clear()
            oldest = min((since for _, since in self._ahead.values()), default=loop.time())
            patience = max(oldest + numbers.fresh_seconds - loop.time(), PATIENCE_SECONDS_MIN)
            await self._first_of(patience, self._room.wait(), self._draining.wait())
            return
        missed, self._missed = self._missed, True
        if missed:
            await self._read_again()
        if (room := free - len(self._ahead)) > 0:
            block = 0.0 if self._ahead else numbers.block_seconds
            for delivery in await self._unsettled(self._receiver.read(min(room, READ), block)):
                if self._is_fresh(delivery) and len(self._running) < numbers.concurrency:
                    self._begin(delivery, loop)
                else:
                    self._put_ahead(delivery)
            free = numbers.concurrency - len(self._running)
        if self._ahead and free > 0:
            await self._begin_wanted([delivery for delivery, _ in self._ahead.values()][:free], loop)
        self._missed = False

    async def _read_again(self) -> None:
        """After an error: what was handed out to us and never entered is run, if it is wanted still (rule C6).

        What was claimed is left to the takeover, which looks again one lease after the gap: whoever holds it may live
        (rule L4).
        """
        for delivery in await self._unsettled(self._receiver.own_pending()):
            if not delivery.claimed:
                self._put_ahead(delivery)

    async def _unsettled(self, asking: Awaitable[list[CommandDelivery]]) -> list[CommandDelivery]:
        """What is not known here. The answer may be older than what is settled while we ask."""
        self._over.append(over := set[str]())
        try:
            found = await asking
        finally:
            self._over = [other for other in self._over if other is not over]
        return [delivery for delivery in found if not (delivery.entry in over or self._is_known(delivery.entry))]

    def _is_known(self, entry: str) -> bool:
        """Whether the entry is running here, was judged here, or waits for room."""
        return entry in self._ahead or entry in self._running or entry in self._reports.told

    def _put_ahead(self, delivery: CommandDelivery) -> None:
        """Keep a command, and its lease, until there is room for it; but not for long (`_give_back`)."""
        assert self._keeper is not None
        self._keeper.hold(delivery.entry)
        self._ahead[delivery.entry] = (delivery, asyncio.get_running_loop().time())

    async def _first_of(self, seconds: float, *waits: Coroutine[Any, Any, Any]) -> None:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _is_fresh(self, delivery: CommandDelivery) -> bool:
        if buggify("worker.doubts"):
            return False
        age_seconds = asyncio.get_running_loop().time() - delivery.sent_at
        return delivery.first_sent and delivery.current and age_seconds < self._numbers.fresh_seconds

    async def _begin_wanted(self, some: Sequence[CommandDelivery], loop: asyncio.AbstractEventLoop) -> None:
        """Begin those that may be over, and are not. An answer that took long is none: they are asked about again."""
        asked_at = loop.time()
        wanted = await self._still_wanted(some)
        if loop.time() - asked_at >= self._numbers.fresh_seconds:
            return
        for delivery in wanted:
            if self._ahead.pop(delivery.entry, None) is not None:  # else its lease was lost meanwhile
                self._begin(delivery, loop)

    async def _still_wanted(self, stale: Sequence[CommandDelivery]) -> list[CommandDelivery]:
        """Look up entries that may be over: one query for all of them (rule C3)."""
        for delivery in [entry for entry in stale if not entry.current]:
            self._tell(delivery, self._unknown(delivery.command, "lost"))
        asked = [entry for entry in stale if entry.current]
        if not asked:
            return []
        claims = await self._store.claims([(entry.command.saga_id, entry.command.opened_by) for entry in asked])
        wanted: list[CommandDelivery] = []
        gone: list[str] = []
        for delivery in asked:
            claim = claims.get((delivery.command.saga_id, delivery.command.opened_by))
            if claim is None or claim.attempt != delivery.command.attempt or claim.claimed_by is not None:
                gone.append(delivery.entry)
            elif claim.held:
                self._tell(delivery, self._refused(delivery.command, "held"))
            else:
                wanted.append(delivery)
        if gone:
            log.info("%d stale commands are forgotten", len(gone))
            await self._receiver.settle(gone)
            for entry in gone:
                self._ahead.pop(entry, None)
            self._settled(gone)
        return wanted

    def _begin(self, delivery: CommandDelivery, loop: asyncio.AbstractEventLoop) -> None:
        if delivery.entry in self._running:
            return
        reason = "drained" if self._draining.is_set() else self._handlers.why_not(delivery.command)
        if reason is not None:
            self._tell(delivery, self._refused(delivery.command, reason))
            return
        assert self._keeper is not None
        self._keeper.hold(delivery.entry)
        self._running[delivery.entry] = task = loop.create_task(self._work(delivery, loop))
        task.add_done_callback(lambda task: self._ended(task, delivery))

    def _ended(self, task: asyncio.Task[None], delivery: CommandDelivery) -> None:
        """A task that was cancelled before its first step, or broke off by no `Exception`, told nothing (rule L3)."""
        if task.cancelled():
            self._tell(delivery, self._not_entered(delivery.command))
        elif (error := task.exception()) is not None:
            log.error("attempt %d of %s broke off", delivery.command.attempt, delivery.command.step_key, exc_info=error)
            self._tell(delivery, self._broken(delivery.command, error))

    async def _work(self, delivery: CommandDelivery, loop: asyncio.AbstractEventLoop) -> None:
        command = delivery.command
        began = loop.time()
        late = loop.call_later(self._numbers.started_after_seconds, self._started, command, began)
        try:
            outcome = await self._outcome(command)
        except asyncio.CancelledError:
            cause: UnknownCause = "drained" if self._draining.is_set() else "cancelled"
            outcome = replace(self._unknown(command, cause), started_ago=loop.time() - began)
        except Exception as error:
            log.exception("attempt %d of %s cannot be run", command.attempt, command.step_key)
            outcome = self._broken(command, error)
        finally:
            late.cancel()
        level = logging.DEBUG if outcome.kind == "succeeded" else logging.INFO
        if log.isEnabledFor(level):
            log.log(level, "%s attempt %d of %s %s%s", command.role, command.attempt, command.step_key, outcome.kind,
                    f": {outcome.error['message']}" if outcome.error else "")  # fmt: skip
        self._reports.tell(delivery.entry, outcome)

    async def _outcome(self, command: Command) -> Outcome:
        bound = self._handlers.bound(command)
        try:
            loaded = command
            if command.payloads:
                async with asyncio.timeout(command.timeout):
                    loaded = await self._loading.with_arguments(command)
        except TimeoutError:  # by now it may have been judged: what begins so late nobody expects (rule B1)
            return self._refused(command, "busy")
        except asyncio.CancelledError:
            return self._not_entered(command)
        pulse = Pulse(self._handlers.heartbeat_timeout(command))
        with self._attempts.under_way(loaded, bound, pulse) as context:
            return await execute(loaded, bound, self._here, self._handlers.is_transactional(command), context, pulse)

    def _left_running(self, command: Command, bound: BoundHandler, thread: "asyncio.Future[Any]") -> None:
        """A thread goes on though its call was given up: what it says in the end is sent as evidence (rule L3)."""

        def ended(thread: "asyncio.Future[Any]") -> None:
            self._threads.discard(thread)
            if bound.role == "probe" or bound.transactional:
                look_away(thread)
            elif not thread.cancelled():
                self._reports.late(late_outcome(command, bound, thread, self._here.worker))

        self._threads.add(thread)
        thread.add_done_callback(ended)

    def _started(self, command: Command, began: float) -> None:
        ago = asyncio.get_running_loop().time() - began
        word = Started(command.saga_id, command.opened_by, command.attempt, command.step, command.item, ago,
                       self._here.worker, command.trace)  # fmt: skip
        self._reports.mention(word)

    def _tell(self, delivery: CommandDelivery, outcome: Outcome) -> None:
        self._ahead.pop(delivery.entry, None)
        self._reports.tell(delivery.entry, outcome)

    def _settled(self, entries: Sequence[str]) -> None:
        """These entries are over: there is room for others."""
        for over in self._over:
            over.update(entries)
        for entry in entries:
            self._running.pop(entry, None)
            if self._keeper is not None:
                self._keeper.release(entry)
        self._room.set()

    def _unknown(self, command: Command, cause: UnknownCause) -> Outcome:
        return replace(outcome_of(command), kind="unknown", cause=cause, worker=self._here.worker)

    def _refused(self, command: Command, reason: RefusalReason) -> Outcome:
        return replace(outcome_of(command), kind="refused", cause=reason, worker=self._here.worker)

    def _broken(self, command: Command, error: BaseException) -> Outcome:
        return replace(self._unknown(command, "error"), error=failure(error, command.attempt))

    def _not_entered(self, command: Command) -> Outcome:
        """It was cancelled before its handler was called: nothing ran."""
        return self._refused(command, "drained" if self._draining.is_set() else "busy")

    def _lease_lost(self, entry: str) -> None:
        """Somebody else has judged the attempt: the handler is cancelled, its outcome is evidence (rule L3)."""
        self._ahead.pop(entry, None)
        task = self._running.get(entry)
        if task is not None:
            log.warning("the lease of entry %s is lost", entry)
            task.cancel()

    async def _take_over(self) -> None:
        """Look for commands whose worker is gone; say so, and never run them (rule L2)."""
        while True:
            await asyncio.sleep(self._numbers.look_for_idle_seconds)
            try:
                found = await self._unsettled(self._receiver.idle(self._numbers.lease_seconds, 100))
            except LOST as loss:
                log.warning("cannot look for lost workers: %s", loss)
                continue
            await self._judge_lost(found)

    async def _judge_lost(self, deliveries: Sequence[CommandDelivery]) -> None:
        for delivery in deliveries:
            log.warning("attempt %d of %s lost its worker", delivery.command.attempt, delivery.command.step_key)
            self._tell(delivery, self._unknown(delivery.command, "worker_lost"))

    def _give_back(self, reason: RefusalReason, until: float = inf) -> None:
        """Refuse what has waited for room since `until` and was never entered: it would be judged without having run.

        What another memory held may have been entered there (rule L7).
        """
        for delivery in [delivery for delivery, since in self._ahead.values() if since <= until]:
            word = self._refused(delivery.command, reason)
            self._tell(delivery, word if delivery.current else self._unknown(delivery.command, "lost"))

    async def _end(self) -> None:
        """Refuse what was not entered; let what runs end within the limit; cancel the rest; say everything."""
        self._give_back("drained")
        loop = asyncio.get_running_loop()
        until = loop.time() + self._numbers.drain_seconds
        if tasks := list(self._running.values()):
            await asyncio.wait(tasks, timeout=self._numbers.drain_seconds)
            slow = [task for task in tasks if not task.done()]
            for task in slow:
                task.cancel()
            if slow:  # who ignores even that loses its lease with this process
                await asyncio.wait(slow, timeout=CANCEL_SECONDS)
        if self._threads and loop.time() < until:
            await asyncio.wait(self._threads, timeout=until - loop.time())
        await self._reports.finish()


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they have ended: a cancellation may be swallowed by a timeout that runs out with it."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=1.0)

"""The orchestrator's loop: take what has arrived, apply it, send what it owes, acknowledge (design section 5).

No linger: while one commit runs the next batch gathers by itself. Any number of these may run.
"""

import logging
from collections.abc import Sequence
from math import inf

from orchestrator.commands import Wanted, commands_for
from orchestrator.engine import Applied, Engine
from orchestrator.messages import Letter, Messages, is_start, refusals
from orchestrator.overlap import Overlap
from orchestrator.publisher import Publisher
from orchestrator.timers import LOOK_SECONDS_MAX, SWEEP_SECONDS, Judged, Timers
from sagas.decide import NOT_DUE
from sagas.inputs import Answer, Due, Input, ParentTurnsBack
from sagas.peek import Peek
from sagas.points import buggify
from sagas.ports import (
    Clock,
    CommandSender,
    OutcomeDelivery,
    Store,
    StoreUnavailable,
    TransportRefused,
    TransportUnavailable,
    WaitRow,
)
from sagas.state import COMMAND_KINDS

log = logging.getLogger("amends.orchestrator")

BATCH = 500
READ = 64
"""How many outcomes at most are one batch: larger ones save little, and workers would wait for all of it."""
OVERLAP, OVERLAP_FROM, OVERLAP_SECONDS = 2, 16, 0.005
"""So many batches at once, from so many outcomes on, and how long a read blocks meanwhile."""
LOOK_SECONDS_MIN = 0.005
IDLE_SECONDS_MIN = 0.05
IDLE_AFTER_SECONDS, IDLE_LOOK_SECONDS = 60.0, 2.0
"""Where nothing has come or gone for so long, nobody looks every second."""
RETRY_SECONDS = 0.25
NEWER_SECONDS = 10.0


class Orchestrator:
    """One orchestrator process: outcomes and due waits in, events and commands out."""

    def __init__(
        self,
        store: Store,
        sender: CommandSender,
        clock: Clock,
        engine: Engine,
        publisher: Publisher,
        batch: int = BATCH,
    ) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock
        self._engine = engine
        self._publisher = publisher
        self._batch = batch
        self._timers = Timers(store, sender, clock, engine.numbers.lease_seconds, batch)
        self._messages = Messages(store, engine)
        self._overlap = Overlap(OVERLAP)
        self._look_at = 0.0
        self._idle_at = clock.monotonic() + IDLE_AFTER_SECONDS
        self._taken: list[WaitRow] = []
        self._unread: dict[str, float] = {}
        self._stopping = False

    async def run(self) -> None:
        """Work until `stop`. What fails for a while is tried again; nothing is acknowledged before its commit."""
        async with self._publisher.running():
            try:
                while not self._stopping:
                    try:
                        await self.turn()
                    except (StoreUnavailable, TransportUnavailable, TransportRefused) as loss:
                        log.warning("waiting for the servers: %s", loss)
                        if isinstance(loss, StoreUnavailable):
                            self._timers.grace.failed()
                        await self._overlap.abandoned()
                        self._engine.forget_heads()
                        self._sender.recall()
                        await self._clock.sleep(RETRY_SECONDS)
            finally:
                await self._overlap.abandoned()

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stopping = True

    async def turn(self) -> None:
        """One turn of the loop: wait for outcomes until something is due, apply both, acknowledge."""
        longest = OVERLAP_SECONDS if self._overlap.busy else IDLE_LOOK_SECONDS
        block = min(max(self._look_at - self._clock.monotonic(), 0.0), longest)
        most = 1 if buggify("orchestrator.reads_one") else min(self._batch, READ)
        arrivals = await self._sender.outcomes(most, block)
        deliveries = arrivals.deliveries
        if deliveries:
            self._idle_at = self._clock.monotonic() + IDLE_AFTER_SECONDS
        words: list[Input] = [delivery.word for delivery in deliveries]
        look = arrivals.woken or self._clock.monotonic() >= self._look_at
        if len(deliveries) >= min(OVERLAP_FROM, self._batch) and not look:
            await self._overlap.add((word.saga_id for word in words), self._pass_on(deliveries, words))
            return
        look = look or not (deliveries or self._overlap.busy)
        await self._overlap.over()
        heard: list[Letter] = []
        starts: list[Letter] = []
        judged = Judged()
        if look:
            asked_at = self._clock.monotonic()
            peek = await self._store.peek()
            self._engine.learn(peek.now, asked_at)
            if peek.unsent or peek.unconfirmed_since is not None:
                self._idle_at = self._clock.monotonic() + IDLE_AFTER_SECONDS
            self._look_at = self._next_look(peek)
            if (peek.unsent or self._taken) and await self._send_marked() == self._batch:
                self._look_at = self._clock.monotonic() + LOOK_SECONDS_MIN
            due = await self._timers.due(peek, crowded=len(deliveries) == most)
            for letter in await self._messages.words(due.messages):
                (starts if is_start(letter) else heard).append(letter)
            words = await self._engine.shelved([*words, *(word for _, word in heard), *due.words])
            judged = await self._timers.judged(due)  # last: it says what is so for an instant (rule A11)
            self._publisher.behind_seconds = self._timers.behind_seconds
            words += judged.words
        codes: list[str] = [answer.code for answer in await self._apply(words)] if words else []
        await self._acknowledge(deliveries, codes)
        if judged.unsure:
            await self._store.postpone(judged.unsure)
        await self._delivered(heard, codes[len(deliveries) :])
        codes += await self._start(starts)
        if any(code != "newer" for code in codes[len(deliveries) :]):
            self._look_at = min(self._look_at, self._clock.monotonic() + LOOK_SECONDS_MIN)

    async def _pass_on(self, deliveries: Sequence[OutcomeDelivery], words: Sequence[Input]) -> None:
        """Apply a batch of outcomes, and acknowledge it."""
        answers = await self._apply(words)
        await self._acknowledge(deliveries, [answer.code for answer in answers])

    async def _start(self, letters: Sequence[Letter]) -> list[str]:
        """Start the sagas that others want, and tell these of what cannot be started; what became of each."""
        if not letters:
            return []
        words = [word for _, word in letters]
        answers = await self._apply(words)
        codes: list[str] = [answer.code for answer in answers]
        if refused := refusals(words, answers):
            told_of = await self._apply(list(refused.values()))
            for index, answer in zip(refused, told_of, strict=True):  # a parent that is newer is told again later
                codes[index] = "newer" if answer.code == "newer" else codes[index]
        await self._delivered(letters, codes)
        return codes

    async def _delivered(self, letters: Sequence[Letter], codes: Sequence[str]) -> None:
        """Take away the messages that their receivers have; who can be read by a newer program only is told later."""
        later = [row for (row, _), code in zip(letters, codes, strict=False) if code == "newer"]
        if over := [(row.saga_id, row.opened_by) for row, _ in letters if row not in later]:
            await self._store.delivered(over)
        await self._messages.put_off(later)

    async def _apply(self, words: Sequence[Input]) -> list[Answer]:
        """Apply inputs, and send what they owe; an answer for each."""
        applied = await self._engine.append(words)
        if applied.doubted:
            self._timers.grace.failed()
        if applied.moves:
            self._timers.grace.written()
        self._timers.over((move.saga_id, wait) for _, move in applied.moves for wait in move.waits_gone)
        await self._engine.publish(applied)
        told = list(zip(words, applied.answers, strict=True))
        await self._move_on([word for word, answer in told if isinstance(word, Due) and answer.detail == NOT_DUE])
        newer = [word for word, answer in told if isinstance(word, Due) and answer.code == "newer"]
        if newer:  # the store leaves alone those of which the row says it
            await self._store.postpone([(word.saga_id, word.opened_by, NEWER_SECONDS) for word in newer])
        for word, answer in told:
            if answer.code == "not_found" and isinstance(word, ParentTurnsBack):
                log.warning("saga %s is to turn back, and was never started", word.saga_id)  # it was refused, maybe
            elif answer.code == "not_found" or (answer.detail or "").startswith("divergence"):
                log.error("divergence: %s of saga %s: %s", type(word).__name__, word.saga_id, answer.detail)
        self._look_sooner(applied)
        return applied.answers

    async def _move_on(self, early: Sequence[Due]) -> None:
        """Rows that are due though their wait is not: a hold moved it (rule B7), or the database's clock jumped."""
        if not early:
            return
        self._engine.forget_clock()
        now = await self._engine.now()
        heads = await self._store.heads(sorted({word.saga_id for word in early}))
        found = [(word, heads[word.saga_id].waits.get(word.opened_by)) for word in early if word.saga_id in heads]
        later = [
            (word.saga_id, word.opened_by, max(wait.due_at - now, 0.0))
            for word, wait in found
            if wait is not None and wait.due_at is not None
        ]
        if later:
            await self._store.postpone(later)

    def _look_sooner(self, applied: Applied) -> None:
        """What was opened just now may be due before the next look."""
        for _, move in applied.moves:
            for row in move.waits_new:
                if row.kind not in COMMAND_KINDS and row.kind != "operator":
                    self._look_at = min(self._look_at, self._engine.by_this_clock(row.due_at))

    async def _acknowledge(self, deliveries: Sequence[OutcomeDelivery], codes: Sequence[str]) -> None:
        """Acknowledge what was applied. What only a newer program can apply is left, and comes again to somebody.

        Left for one lease already, it goes to the end: the first of many says which have come through (rule A11).
        """
        if buggify("orchestrator.acknowledges_late"):
            await self._clock.sleep(1.0)
        answered = list(zip(deliveries, codes, strict=False))
        if done := [delivery.entry for delivery, code in answered if code != "newer"]:
            await self._sender.acknowledge(done)
        await self._sender.put_back([delivery for delivery, code in answered if code == "newer" and delivery.again])

    def _next_look(self, peek: Peek) -> float:
        """When something will be due that is known of now; at the latest after a second, or two when idle (A4, A11)."""
        dates = [] if peek.due_at is None else [peek.due_at]
        if peek.unconfirmed_since is not None:
            dates.append(peek.unconfirmed_since + SWEEP_SECONDS)
        wait = min(dates, default=inf) - peek.now
        now = self._clock.monotonic()
        longest = LOOK_SECONDS_MAX if now < self._idle_at else IDLE_LOOK_SECONDS
        return now + min(max(wait, IDLE_SECONDS_MIN, self._timers.pause_seconds), longest)

    async def _send_marked(self) -> int:
        """Send commands that are known not to have been sent, of joined starts and refused ones (rule C9); how many."""
        if self._taken:  # it failed between taking and sending, so nothing was sent
            await self._store.give_back(self._taken)
            self._taken = []
        taken_at = self._clock.monotonic()
        self._unread = {mark: until for mark, until in self._unread.items() if until > taken_at}
        rows = await self._store.take_unsent(self._batch, await self._sender.full(), list(self._unread))
        self._taken = rows
        if rows:
            wanted, newer = await self._wanted(rows)
            commands = await commands_for(self._store, self._engine.values, wanted)
            self._taken = newer
            await self._publisher.publish(commands, taken_at)
        if self._taken:  # another may send them at once; taken here again and again they would hold up others
            await self._store.give_back(self._taken)
            self._taken = []
        return len(rows)

    async def _wanted(self, rows: Sequence[WaitRow]) -> tuple[list[Wanted], list[WaitRow]]:
        """What these commands need; and those that only a newer program can send."""
        heads = await self._store.heads(sorted({row.saga_id for row in rows}))
        manifests = await self._engine.manifests(list(heads.values()))
        found: list[Wanted] = []
        newer: list[WaitRow] = []
        for row in rows:
            head = heads.get(row.saga_id)
            if head is not None and (head.newer or head.fingerprint not in manifests):
                newer.append(row)
                self._unread[head.fingerprint] = self._clock.monotonic() + NEWER_SECONDS
                continue
            wait = head.waits.get(row.opened_by) if head is not None else None
            if head is not None and wait is not None:
                found.append((manifests[head.fingerprint], head, wait))
        return found, newer

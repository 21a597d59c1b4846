"""Reports: what became of commands goes into the stream of outcomes, or to the engine itself (rules C5, L3)."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from consumers.receiver import CommandReceiver
from sagas.inputs import Applies, Outcome, Progressed, Started, Word
from sagas.points import buggify
from sagas.ports import StoreUnavailable, TransportRefused, TransportUnavailable

log = logging.getLogger("amends.worker")

LOST = (TransportUnavailable, TransportRefused, StoreUnavailable)
HURRY_SECONDS = 5.0
LATELY_SECONDS = 10.0
LATELY_MAX = 2_000


class Reports:
    """What a worker has to say, until it is said. `settled` is told of entries that are over.

    An outcome stands in the stream before its command is acknowledged. What concerns an entry that was not ours any
    more, and the late word of a thread, goes to `apply` itself: nobody else would ask for it.
    """

    def __init__(
        self,
        receiver: CommandReceiver,
        apply: Applies,
        settled: Callable[[Sequence[str]], None],
        retry_seconds: float,
    ) -> None:
        self.told: set[str] = set()
        self._receiver = receiver
        self._engine = apply
        self._settled = settled
        self._retry_seconds = retry_seconds
        self._to_send: asyncio.Queue[tuple[str, Word]] = asyncio.Queue()
        self._to_apply: asyncio.Queue[Word] = asyncio.Queue()
        self._lately: deque[tuple[float, Outcome]] = deque(maxlen=LATELY_MAX)
        self._hurried = False

    def tell(self, entry: str, outcome: Outcome) -> None:
        """What became of the command in this entry."""
        self.told.add(entry)
        self._to_send.put_nowait((entry, outcome))

    def mention(self, word: Started | Progressed) -> None:
        """An attempt has been running for a while, or says how far it is."""
        self._to_send.put_nowait(("", word))

    def late(self, outcome: Outcome) -> None:
        """A thread ended after its attempt was judged: its entry is over (rule L3)."""
        self._to_apply.put_nowait(outcome)

    async def recover(self, incarnation: str) -> None:
        """The stream may have been forgotten before anybody read it: what was said lately goes to the engine (L7)."""
        now = asyncio.get_running_loop().time()
        lately = [word for at, word in self._lately if now - at < LATELY_SECONDS]
        self._lately.clear()
        log.warning("memory %s: %d outcomes go to the engine once more", incarnation or "lost", len(lately))
        for word in lately:
            self._to_apply.put_nowait(word)

    async def run(self) -> None:
        """Say everything, for as long as the worker lives."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._send())
            both.create_task(self._apply())

    async def finish(self) -> None:
        """Wait until all is said; what the transport does not take in 5 s goes to the engine, for 5 s more."""
        await self._join(HURRY_SECONDS)
        self._hurried = True
        await self._join(HURRY_SECONDS)

    async def _join(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._to_send.join()  # what it leaves is there to be applied before it is done
                await self._to_apply.join()
        except TimeoutError:
            log.warning("not all is said after %g s", seconds)

    async def _send(self) -> None:
        while True:
            batch = [await self._to_send.get()]
            while not self._to_send.empty():
                batch.append(self._to_send.get_nowait())
            await self._send_batch(batch)
            entries = [entry for entry, _ in batch if entry]
            self.told.difference_update(entries)
            self._settled(entries)
            for _ in batch:
                self._to_send.task_done()

    async def _send_batch(self, batch: Sequence[tuple[str, Word]]) -> None:
        entries = [entry for entry, _ in batch if entry]
        while True:
            try:
                await self._receiver.send([word for _, word in batch])
                if buggify("reports.pauses"):
                    await asyncio.sleep(0.5)
                ours = dict(zip(entries, await self._receiver.settle(entries) if entries else [], strict=True))
                break
            except LOST as loss:
                log.warning("%d outcomes wait to be sent: %s", len(batch), loss)
                if self._hurried:
                    ours = dict.fromkeys(entries, False)
                    break
                await asyncio.sleep(self._retry_seconds)
        now = asyncio.get_running_loop().time()
        for entry, word in batch:
            if ours.get(entry) is False:
                self._to_apply.put_nowait(word)
            elif isinstance(word, Outcome):
                self._lately.append((now, word))

    async def _apply(self) -> None:
        while True:
            words = [await self._to_apply.get()]
            while not self._to_apply.empty():
                words.append(self._to_apply.get_nowait())
            while True:
                try:
                    answers = await self._engine.apply(words)
                    newer = [word for word, answer in zip(words, answers, strict=True) if answer.code == "newer"]
                    if newer:  # an orchestrator that can read the saga takes them from the stream
                        await self._receiver.send(newer)
                    break
                except LOST as loss:
                    log.warning("%d outcomes wait to be applied: %s", len(words), loss)
                    await asyncio.sleep(self._retry_seconds)
            for _ in words:
                self._to_apply.task_done()

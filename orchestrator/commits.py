"""Group commit: what concurrent callers ask of an engine is applied together (design section 12)."""

import logging
from collections.abc import Sequence

from eventstore.gathering import Asked, Gathering
from orchestrator.engine import Applied, Engine
from orchestrator.payloads import size_of
from orchestrator.publisher import Background
from orchestrator.work import Work
from sagas.inputs import Answer, Input, Start
from sagas.ports import StoreUnavailable

log = logging.getLogger("amends.engine")

Batch = Sequence[Asked[Input, Answer]]


class Commits:
    """The commits of one engine, shared by all who ask of it at the same time.

    Each is answered once its own inputs are committed: those of others that lose a race, or wait for a lock, are
    decided again beside the next batch. What the commits owe is sent in the background.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._starts = Gathering(self._apply)
        self._moves = Gathering(self._apply)
        self._background = Background()

    async def apply(self, words: Sequence[Input]) -> list[Answer]:
        """Apply inputs, all of them starts or none (rule A2); an answer for each, after its commit.

        Raises:
            StoreUnavailable: nothing of it is known to have been done; the same inputs may be applied again.
        """
        if not words:
            return []
        gathering = self._starts if isinstance(words[0], Start) else self._moves
        return await gathering.ask(words, sum(map(size_of, words)))

    async def close(self) -> None:
        """Let what is under way end; what nobody waits for any more is not tried again."""
        await self._starts.finish()
        await self._moves.finish()
        await self._background.finish()

    async def _apply(self, batch: Batch) -> None:
        try:
            await self._begin(batch)
        except StoreUnavailable:
            raise
        except Exception:
            if len(batch) == 1:
                raise
            log.exception("one of %d requests cannot be applied: each is applied alone", len(batch))
            for asked in batch:
                await self._alone(asked)

    async def _alone(self, asked: Asked[Input, Answer]) -> None:
        """Apply what was in a batch that failed, of which a part may be committed."""
        try:
            await self._begin([asked], doubted=True)
        except Exception as error:  # noqa: BLE001 - it is its caller's
            asked.fail(error)

    async def _begin(self, batch: Batch, *, doubted: bool = False) -> None:
        work = await self._engine.begin([word for asked in batch for word in asked.words], doubted=doubted)
        self._tell(batch, work)
        if work.open():
            self._background.spawn(self._go_on(batch, work))

    async def _go_on(self, batch: Batch, work: Work) -> None:
        """Decide again what has no answer yet, for as long as somebody waits for it."""
        try:
            while work.open() and not all(asked.is_over() for asked in batch):
                await self._engine.go_on(work)
                self._tell(batch, work)
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            for asked in batch:
                asked.fail(error)

    def _tell(self, batch: Batch, work: Work) -> None:
        """Answer those of whom all is committed, and then send what is owed: no answer waits for that."""
        at = 0
        for asked in batch:
            end = at + len(asked.words)
            told = [answer for answer in work.answers[at:end] if answer is not None]
            if len(told) == len(asked.words):
                asked.answer(told)
            at = end
        if moves := work.take_moves():
            self._background.spawn(self._engine.publish(Applied([], moves)))

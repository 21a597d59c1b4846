"""Starts: new sagas, those whose key is known, and those inside a transaction of the caller (rules A4, def_R23)."""

import logging
from collections.abc import Sequence
from typing import Literal, Protocol

from orchestrator.quarantine import quarantine
from orchestrator.waits import move_of
from orchestrator.work import Work
from sagas.decide import decide, not_ours
from sagas.events import Json, SagaStarted
from sagas.inputs import Answer, Start
from sagas.manifest import Manifest
from sagas.numbers import Numbers
from sagas.ports import CommitUnknown, Contended, HeadBehind, Move, Store, Unstorable
from sagas.records import replace
from sagas.state import State, Value, value_of

log = logging.getLogger("amends.engine")

FIRST = 1


class Host(Protocol):
    """What starting needs of the engine."""

    store: Store
    numbers: Numbers

    async def now(self) -> float:
        """The database's clock."""
        ...

    def learn(self, now: float, asked_at: float) -> None:
        """Take the database's clock from an answer."""
        ...

    def know(self, manifest: Manifest) -> None:
        """Remember a manifest."""
        ...

    def keep(self, work: Work, move: Move) -> None:
        """Remember what was committed."""
        ...


class Starting:
    """The part of the engine that brings sagas into being."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def round(self, work: Work, indices: Sequence[int]) -> None:
        """Try to start these, of those with one key or id the first; what met a key that came free stays open."""
        words = {index: word for index in indices if isinstance(word := work.words[index], Start)}
        if work.doubted:
            await self._find(work, words)
        first: dict[tuple[str, str], int] = {}
        for index, word in words.items():
            if work.answers[index] is None:
                first.setdefault(_place(word), index)
        if first:
            now = await self._host.now()
            await self._commit(work, words, {index: self._move(words[index], now) for index in first.values()})
        twins = {
            index: word for index, word in words.items()
            if work.answers[index] is None and work.answers[first[_place(word)]] is not None
        }  # fmt: skip
        if twins:  # all at once: a round for each would hold up the last of many for seconds
            await self._look_up(work, twins)

    async def _commit(self, work: Work, words: dict[int, Start], moves: dict[int, Move]) -> None:
        """Insert. A batch that clashes, or holds what cannot be stored, is halved (rules A6, A9)."""
        try:
            committed = await self._host.store.start(sorted(moves.values(), key=lambda move: move.saga_id))
        except CommitUnknown as doubt:
            log.warning("the answer of a commit is lost; looking for its %d starts: %s", len(moves), doubt)
            work.doubted = True
            return
        except (Contended, Unstorable, HeadBehind) as trouble:
            indices = list(moves)
            if len(indices) > 1:
                for part in (indices[::2], indices[1::2]):
                    await self._commit(work, words, {index: moves[index] for index in part})
            elif isinstance(trouble, Unstorable):
                quarantine(work, indices, trouble)
            elif isinstance(trouble, HeadBehind):
                work.answer(indices[0], not_ours(moves[indices[0]].state))
            return
        self._host.learn(committed.now, work.decided_at)
        absent: dict[int, Start] = {}
        for index, move in moves.items():
            if move.saga_id in committed.moved:
                work.answer(index, _answer("created", move.state))
                self._host.keep(work, move)
            else:
                absent[index] = words[index]
        if absent:
            await self._look_up(work, absent)

    async def within(self, word: Start, connection: object) -> Answer:
        """Start inside the caller's transaction; its commands are marked `unsent` and go out after the commit."""
        move = self._move(word, await self._host.now())
        move = replace(move, waits_new=tuple(replace(row, unsent=row.queue is not None) for row in move.waits_new))
        committed = await self._host.store.start([move], connection)
        if move.saga_id in committed.moved:
            return _answer("created", move.state)
        work = Work([word])
        await self._look_up(work, {0: word})
        return work.answers[0] or Answer("refused", word.saga_id, detail="the key came free meanwhile: try again")

    def _move(self, word: Start, now: float) -> Move:
        self._host.know(word.manifest)
        nothing = State.before(word.saga_id)
        decision = decide(word.manifest, nothing, word, now, self._host.numbers)
        return move_of(word.manifest, nothing, decision.state, decision.recorded, self._host.numbers.lease_seconds)

    async def _find(self, work: Work, words: dict[int, Start]) -> None:
        """After a lost answer: whose id exists was started by that commit (rule A7)."""
        heads = await self._host.store.heads([word.saga_id for word in words.values()])
        for index, word in words.items():
            if (head := heads.get(word.saga_id)) is not None:
                work.answer(index, _answer("created", head))

    async def _look_up(self, work: Work, words: dict[int, Start]) -> None:
        """Answer starts that met their key or their id: known with the same input, else a conflict."""
        keys = sorted({(word.manifest.name, word.key) for word in words.values() if word.key is not None})
        by_key = await self._host.store.by_key(keys)
        by_id = await self._host.store.heads([word.saga_id for word in words.values()])
        for index, word in words.items():
            head = by_key.get((word.manifest.name, word.key or "")) or by_id.get(word.saga_id)
            if head is None:
                continue
            if head.newer:
                work.answer(index, not_ours(head))
                continue
            if head.fingerprint == word.manifest.fingerprint:
                self._host.know(word.manifest)
            if word.input == await self._value(head, head.input) or word.input == await self._began_with(head):
                work.answer(index, _answer("known", head))
            else:
                detail = f"the key '{word.key}' is taken by saga {head.saga_id}, which has another input"
                work.answer(index, replace(_answer("conflict", head), detail=detail))

    async def _began_with(self, head: State) -> Json:
        """The input that it was started with, whatever was corrected since."""
        event = (await self._host.store.events_at([(head.saga_id, FIRST)]))[head.saga_id, FIRST].event
        assert isinstance(event, SagaStarted)
        return await self._value(head, value_of(event.input, event.payload, FIRST))

    async def _value(self, head: State, value: Value) -> Json:
        if value.event is None and value.payload is None:
            return value.inline
        return (await self._host.store.values([(head.saga_id, value)]))[0]


def _place(word: Start) -> tuple[str, str]:
    """What only one saga may have."""
    return (word.manifest.name, word.key) if word.key else ("", word.saga_id)


def _answer(code: Literal["created", "known", "conflict"], state: State) -> Answer:
    return Answer(code, state.saga_id, state.version, state.status)

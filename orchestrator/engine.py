"""The engine: the one way in (rule A1). Load the heads of a batch, decide, append in one commit, then publish.

Whoever changes a saga calls `Engine.apply`: the API, the orchestrator's loop, a worker whose lease others have judged.
Any number of engines may run; the version guard of the append keeps them correct, and a loser decides again.
"""

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import inf

from orchestrator.commands import Values, Wanted, commands_for
from orchestrator.payloads import Limits, shelve
from orchestrator.publisher import Publisher
from orchestrator.quarantine import quarantine
from orchestrator.remembered import Remembered
from orchestrator.starting import Starting
from orchestrator.waits import move_of, released
from orchestrator.work import Work
from sagas.codec import value_in
from sagas.decide import decide, not_ours
from sagas.events import Recorded
from sagas.inputs import Answer, Due, Input, Migrate, Outcome, Progressed, Repair, Request, Send, Start
from sagas.manifest import Manifest
from sagas.numbers import DEFAULT_NUMBERS, Numbers
from sagas.ports import (
    Clock,
    CommitUnknown,
    Contended,
    HeadBehind,
    Move,
    Store,
    StoreUnavailable,
    Unstorable,
)
from sagas.state import COMMAND_KINDS, State

log = logging.getLogger("amends.engine")

OUTRUN = "the saga has moved since: its wait is looked at again"
BACK_OFF_SECONDS = 0.005
BACK_OFF_SECONDS_MAX = 0.25
CLOCK_SECONDS = 1.0
"""For how long at most an engine goes by what it was told of the database's clock."""


@dataclass(slots=True)
class Applied:
    """What became of a batch: an answer for each input, and each committed move with when its round began.

    `doubted`: the answer of a commit was lost on the way.
    """

    answers: list[Answer]
    moves: list[tuple[float, Move]] = field(default_factory=list[tuple[float, Move]])
    doubted: bool = False


class Engine:
    """Applies inputs to sagas. `numbers` and `limits` are settings; without a publisher nothing is sent."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        publisher: Publisher | None = None,
        numbers: Numbers = DEFAULT_NUMBERS,
        limits: Limits | None = None,
    ) -> None:
        self.store = store
        self.numbers = numbers
        self.values = Values()
        self._clock = clock
        self._publisher = publisher
        self._limits = limits or Limits()
        self._manifests: dict[str, Manifest] = {}
        self._offset, self._told_at = 0.0, -inf
        self._remembered = Remembered()
        self._starting = Starting(self)

    async def apply(self, inputs: Sequence[Input]) -> list[Answer]:
        """Decide the inputs, append what follows in one commit and send what it owes; an answer for each input.

        Raises:
            StoreUnavailable: nothing of it is known to have been done; the same inputs may be applied again.
        """
        applied = await self.append(inputs)
        await self.publish(applied)
        return applied.answers

    async def append(self, inputs: Sequence[Input]) -> Applied:
        """As `apply`, but nothing is sent yet: `publish` does that."""
        work = await self.begin(inputs)
        while work.open():
            await self.go_on(work)
        answers = [answer for answer in work.answers if answer is not None]
        return Applied(answers, work.take_moves(), work.doubted)

    async def begin(self, inputs: Sequence[Input], *, doubted: bool = False) -> Work:
        """Decide the inputs once. What lost its race has no answer yet: `go_on` decides it again.

        Whoever calls it sends what the moves owe. `doubted`: they may have been applied already.

        Raises:
            StoreUnavailable: as for `apply`.
        """
        work = Work(await self.shelved(inputs), doubted=doubted)
        await self._attempt(work)
        return work

    async def shelved(self, inputs: Sequence[Input]) -> list[Input]:
        """The inputs once their large values are stored; `append` does it where nobody has yet.

        Raises:
            StoreUnavailable: the database is away.
        """
        words, payloads = shelve(inputs, self._limits)
        if payloads:
            await self.store.put_payloads(payloads)
        return words

    async def go_on(self, work: Work) -> None:
        """Decide once more what has no answer, after a pause that grows while nothing of it comes through.

        Raises:
            StoreUnavailable: as for `apply`.
        """
        longest = min(BACK_OFF_SECONDS_MAX, BACK_OFF_SECONDS * 2**work.lost_rounds)
        await self._clock.sleep(random.uniform(0, longest))  # noqa: S311 - spreads losers, guards nothing
        await self._attempt(work)

    async def _attempt(self, work: Work) -> None:
        still, told = len(work.open()), len(work.moves)
        try:
            await self._round(work)
        except StoreUnavailable:
            self.forget_heads()
            await self.publish(Applied([], work.take_moves()))  # what was committed is owed all the same
            raise
        for index in work.open():
            if _is_verdict(work.words[index]):  # an outcome may have come since: its wait is looked at again
                work.answer(index, Answer("nothing", work.words[index].saga_id, detail=OUTRUN))
        work.lost_rounds = 0 if len(work.open()) < still else work.lost_rounds + 1
        await self._set_due([move for _, move in work.moves[told:]])

    async def _set_due(self, moves: Sequence[Move]) -> None:
        """A release has moved what its saga waits for; rows that are not told are moved on when found (rule B7)."""
        try:
            if moved := released(moves):
                await self.store.set_due(moved)
        except StoreUnavailable as loss:
            log.info("cannot move the waits of released sagas; they are moved on when they are found: %s", loss)

    async def publish(self, applied: Applied) -> None:
        """Send the commands that a commit owes. What cannot be sent now the sweep schedules anew (rule C1)."""
        if self._publisher is None or not applied.moves:
            return
        self._publisher.forget((move.saga_id, wait) for _, move in applied.moves for wait in move.waits_gone)
        final = {move.saga_id: move.state for _, move in applied.moves}
        for decided_at, moves in groupby(applied.moves, key=lambda entry: entry[0]):
            await self._publish([move for _, move in moves], final, decided_at)

    async def _publish(self, moves: Sequence[Move], final: Mapping[str, State], decided_at: float) -> None:
        wanted: list[Wanted] = []
        for move in moves:
            state = final[move.saga_id]
            for row in move.waits_new:
                wait = state.waits.get(row.opened_by)
                if row.kind in COMMAND_KINDS and wait is not None and not row.unsent:
                    wanted.append((self._manifests[state.fingerprint], state, wait))
        if not wanted or self._publisher is None:
            return
        try:
            commands = await commands_for(self.store, self.values, wanted)
        except StoreUnavailable as loss:
            log.warning("cannot load what %d commands need: %s", len(wanted), loss)
            return
        await self._publisher.publish(commands, decided_at)

    async def start_within(self, word: Start, connection: object) -> Answer:
        """Start a saga inside the caller's transaction: it exists exactly if the caller's change does (rule A4)."""
        (start,) = await self.shelved([word])
        assert isinstance(start, Start)
        return await self._starting.within(start, connection)

    async def now(self) -> float:
        """The database's clock, as the last commit told it, or the database itself where that was long ago (rule A11).

        In between the two may drift apart, or one may leap.
        """
        if (asked_at := self._clock.monotonic()) - self._told_at > CLOCK_SECONDS:
            self.learn(await self.store.now(), asked_at)
        return self._clock.monotonic() + self._offset

    def by_this_clock(self, at: float) -> float:
        """When that is on this process's monotonic clock, as far as is known."""
        return at - self._offset

    def forget_clock(self) -> None:
        """Ask the database for its clock again."""
        self._told_at = -inf

    def forget_heads(self) -> None:
        """Read all heads again: the store was away, and may be another that lacks what this one had (rule A8)."""
        self._remembered.clear()

    def learn(self, now: float, asked_at: float) -> None:
        """Take the database's clock from an answer: as old as its question, unless a later one was answered already."""
        if asked_at >= self._told_at:
            self._told_at, self._offset = asked_at, now - self._clock.monotonic()

    def know(self, manifest: Manifest) -> None:
        """Remember a manifest."""
        self._manifests[manifest.fingerprint] = manifest

    async def manifests(self, states: Sequence[State]) -> dict[str, Manifest]:
        """The manifests of these sagas; those that this process has not met yet come in one query."""
        missing = sorted({state.fingerprint for state in states} - self._manifests.keys())
        if missing:
            self._manifests.update(await self.store.manifests(missing))
        return self._manifests

    async def _round(self, work: Work) -> None:
        work.decided_at = self._clock.monotonic()
        starts = [index for index in work.open() if isinstance(work.words[index], Start)]
        others = [index for index in work.open() if not isinstance(work.words[index], Start)]
        if starts:
            await self._starting.round(work, starts)
        if others:
            await self._move(work, others)

    async def _move(self, work: Work, indices: Sequence[int]) -> None:
        by_saga: dict[str, list[int]] = {}
        for index in sorted(indices, key=lambda index: isinstance(work.words[index], Due)):  # rule A11: outcomes first
            mine = by_saga.setdefault(work.words[index].saga_id, [])
            if not mine or work.words[index].saga_id not in work.alone:
                mine.append(index)
        remembered = {} if work.doubted else self._remembered.of(by_saga, self._clock.monotonic())
        missing = sorted(by_saga.keys() - remembered.keys())
        heads = remembered | (await self.store.heads(missing) if missing else {})
        manifests = await self.manifests(list(heads.values()))
        seen = await self._seen(work, indices, heads)
        now = await self.now()
        moves: list[Move] = []
        again: list[int] = []
        for saga_id, mine in sorted(by_saga.items()):
            head = heads.get(saga_id)
            manifest = manifests.get(head.fingerprint) if head is not None else None
            if head is None or manifest is None:
                nobody = Answer("not_found", saga_id, detail="there is no such saga")
                for index in mine:
                    work.answer(index, nobody if head is None else not_ours(head))
            elif (move := self._decide(work, mine, manifest, head, seen, now)) is not None:
                moves.append(move)
            elif saga_id in remembered:
                again += mine
            else:
                for index in mine:
                    work.answer(index, work.drafts[index])
        if moves:
            tried = remembered.keys() & {move.saga_id for move in moves}
            moved = await self._commit(work, by_saga, moves)
            self._remembered.learn(len(tried), len(tried - moved), self._clock.monotonic())
        if again:
            self._remembered.forget(work.words[index].saga_id for index in again)
            await self._move(work, again)

    def _decide(
        self, work: Work, mine: Sequence[int], manifest: Manifest, head: State, seen: set[tuple[str, str]], now: float
    ) -> Move | None:
        """Decide the inputs of one saga one after the other (rule A2); their answers wait for the commit.

        None where nothing is to be appended: that is final only on a head that was read just now (rule A8).
        """
        state, told = head, set[str]()
        events: list[Recorded] = []
        for index in mine:
            word = work.words[index]
            if (head.saga_id, word.id) in seen or word.id in told:
                work.drafts[index] = Answer("nothing", head.saga_id, state.version, state.status, "known already")
                continue
            decision = decide(manifest, state, word, now, self.numbers)
            told.add(word.id)
            work.drafts[index] = decision.answer
            state = decision.state
            events += decision.recorded
            if isinstance(word, Migrate) and state.fingerprint == word.manifest.fingerprint:
                manifest = word.manifest
                self.know(manifest)
        if not events:
            return None
        return move_of(manifest, head, state, tuple(events), self.numbers.lease_seconds)

    async def _commit(self, work: Work, by_saga: dict[str, list[int]], moves: Sequence[Move]) -> frozenset[str]:
        """Append; whose moves went in. What clashes, or cannot be stored, is looked for by halves (rules A6, A9)."""
        self._remembered.forget(move.saga_id for move in moves)
        try:
            committed = await self.store.append(moves)
        except CommitUnknown as doubt:
            log.warning("the answer of a commit is lost; looking for its %d sagas: %s", len(moves), doubt)
            work.doubted = True
            self._remembered.clear()
            return frozenset()
        except (Contended, Unstorable, HeadBehind) as trouble:
            if len(moves) > 1:
                half = len(moves) // 2
                first = await self._commit(work, by_saga, moves[:half])
                return first | await self._commit(work, by_saga, moves[half:])
            if isinstance(trouble, Unstorable):
                quarantine(work, by_saga[moves[0].saga_id], trouble)
            elif isinstance(trouble, HeadBehind):
                for index in by_saga[moves[0].saga_id]:
                    work.answer(index, not_ours(moves[0].state))
            return frozenset()
        self.learn(committed.now, work.decided_at)
        for move in moves:
            if move.saga_id in committed.moved:
                for index in by_saga[move.saga_id]:
                    work.answer(index, work.drafts[index])
                self.keep(work, move)
                self._remembered.keep(move.state, self._clock.monotonic())
        return committed.moved

    def keep(self, work: Work, move: Move) -> None:
        """Remember what was committed: the next steps need its results."""
        work.moves.append((work.decided_at, move))
        for entry in move.events:
            if (value := value_in(entry.event)) is not None:
                self.values.keep(move.saga_id, entry.sequence, value)

    async def _seen(self, work: Work, indices: Sequence[int], heads: dict[str, State]) -> set[tuple[str, str]]:
        """Which words are in their history already.

        Looked up for late ones, for progress, for what people ask, who ask again when they had no answer, and after a
        lost answer.
        """
        asked: list[tuple[str, str]] = []
        for index in indices:
            word = work.words[index]
            head = heads.get(word.saga_id)
            if head is None:
                continue
            wait = head.waits.get(word.opened_by) if isinstance(word, Outcome) else None
            late = isinstance(word, Outcome) and (wait is None or wait.attempt != word.attempt)
            if late or work.doubted or isinstance(word, Progressed | Send | Request):
                asked.append((word.saga_id, word.id))
        return await self.store.seen(asked) if asked else set()


def _is_verdict(word: Input) -> bool:
    """Whether it says of a command that no outcome of it stands anywhere: that is so for an instant (rule A11)."""
    return isinstance(word, Repair) or (isinstance(word, Due) and word.verdict in ("lost", "timed_out"))

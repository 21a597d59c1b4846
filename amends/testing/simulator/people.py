"""Those outside who start sagas, send, cancel, hold and decide: each asks an API process until one has answered."""

import asyncio
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from amends.stored_values import see
from amends.testing.simulator.callers import CallersTransaction, start_joined
from amends.testing.simulator.examples import example
from amends.testing.simulator.hosts import at_once
from amends.testing.simulator.script import Request, Saga
from orchestrator.engine import Engine
from sagas.inputs import Answer, Cancel, Correct, Hold, Input, Migrate, Release, Resolve, Send, Start, TryAgain
from sagas.ports import StoreUnavailable
from sagas.state import State, Wait

if TYPE_CHECKING:
    from amends.testing.simulator.system import Process, System

AGAIN_SECONDS = 0.2
INPUT = 0.3
ACCEPT = 0.2
ROUNDS = 4
PATIENCE = 60.0
"""Seconds: what is waited for longer than a run lasts is sent when all is well."""


class People:
    """Everybody who asks something in one run."""

    def __init__(self, system: "System") -> None:
        self._system = system
        self._loop = system.loop
        self._ids: dict[int, str] = {}
        self._busy: list[asyncio.Task[None]] = []
        self._asked = 0
        self._looked: dict[str, int] = {}
        self._well = asyncio.Event()

    def begin(self) -> None:
        """Have everybody come at their time."""
        for number, saga in enumerate(self._system.script.sagas):
            if saga.kept:
                self._busy.append(self._loop.create_task(self._start(number, saga)))
        for place, request in enumerate(self._system.script.requests):
            self._busy.append(self._loop.create_task(self._request(place, request)))

    async def finish(self) -> None:
        """Let those come who are late, and wait for all who still ask."""
        self._well.set()
        for task in self._busy:
            await task

    async def release(self) -> bool:
        """Release what is held; whether anything was taken.

        A hold that was asked of two APIs may come in again after this: where it changed nothing at the first, no event
        tells that it is the same.
        """
        store, taken = self._system.database.store, False
        for saga_id in store.known():
            head = store.head(saga_id)
            if head.held:
                answer = await self._ask(Release(saga_id, "all is well", f"released/{saga_id}/{head.version}"))
                taken |= answer.code == "accepted"
        return taken

    async def answer(self) -> bool:
        """Send what is waited for longer than a run lasts; whether there was anything that was taken."""
        store, taken = self._system.database.store, False
        for saga_id in store.known():
            for wait in list(store.head(saga_id).waits.values()):
                if wait.kind == "signal" and wait.due_at is not None and wait.due_at > at_once(store.now()) + PATIENCE:
                    taken |= await self._send(saga_id, wait.step or "")
        return taken

    async def decide(self) -> bool:
        """Let operators say what is true of all that is on their desks; whether anything was taken.

        Whoever has looked at the same thing `ROUNDS` times leaves it there.
        """
        store, taken = self._system.database.store, False
        for saga_id in store.known():
            head = store.head(saga_id)
            desks = [wait for wait in head.waits.values() if _is_desk(wait)]
            looked = self._looked.get(saga_id, 0) + 1
            if not desks or looked > ROUNDS:
                continue
            self._looked[saga_id] = looked
            rng = Random(f"{self._system.script.seed}/desk/{saga_id}/{looked}")  # noqa: S311 - a draw, no secret
            kind: Literal["resolve", "try again"] = rng.choice(("resolve", "try again"))
            told = (saga_id, "so it is", f"desk/{saga_id}/{looked}")
            word = self._decide(kind, head, told, rng)
            if word is not None:
                answer = await self._ask(word)
                self._system.checks.told(saga_id, word.id, answer.code)
                self._system.trace.mark(f"at rest: {kind} {answer.code}")
                taken |= answer.code == "accepted"
        return taken

    async def _send(self, saga_id: str, name: str) -> bool:
        """Somebody answers at last."""
        node = self._system.sealed[self._system.database.store.head(saga_id).definition].manifest.by_name[name]
        rng = Random(f"{saga_id}/{name}")  # noqa: S311 - a draw, no secret
        word = Send(saga_id, name, example(node.result_schema, rng), f"sent/{saga_id}/{name}")
        answer = await self._ask(word)
        self._system.checks.told(saga_id, word.id, answer.code)
        return answer.code == "accepted"

    async def _start(self, number: int, saga: Saga) -> None:
        system = self._system
        if saga.late:
            await self._well.wait()
        await asyncio.sleep(saga.at)
        sealed = system.roots[saga.definition]
        rng = Random(f"{system.script.seed}/input/{number}")  # noqa: S311 - a draw, no secret
        value = sealed.normalise(example(sealed.manifest.input_schema, rng))
        key = f"key{number}" if saga.keyed else None
        starts: list[Any] = []
        for which in range(2 if saga.twice else 1):
            saga_id = f"01900000-0000-7000-8000-{number:06d}{which:06d}"
            system.outside.trouble[saga_id] = saga.trouble
            word = Start(saga_id, sealed.manifest, value, key=key)
            joined = saga.joined and (which == 0 or number % 2 == 0)
            if joined:
                system.checks.changes.want(saga_id)
            starts.append(self._loop.create_task(self._ask(word, joined=joined)))
        for task in starts:
            answer: Answer = await task
            self._ids[number] = answer.saga_id
            system.checks.accepted(answer)

    async def _request(self, place: int, request: Request) -> None:
        await asyncio.sleep(request.at)
        saga_id = self._ids.get(request.saga)
        if saga_id is None:
            return  # it has not been accepted yet: nobody knows its id
        store = self._system.database.store
        known = store.known()
        if saga_id not in known:
            return  # accepted, and not there: that is told already
        family = [other for other in known if _is_of(store.head(other), saga_id)]
        chosen = [saga_id, *family][request.draw % (1 + len(family))]
        head = store.head(chosen)
        word = self._word(request, head, f"request/{place}")
        if word is not None:
            answer = await self._ask(word)
            self._system.checks.told(chosen, word.id, answer.code)
            self._system.trace.tell("is told", None, request.kind, chosen[-12:], answer.code)
            hastens = isinstance(word, TryAgain) and not any(map(_is_desk, head.waits.values()))
            kind = "try a delayed step again" if hastens else request.kind
            self._system.trace.mark(f"request: {kind} {answer.code}")

    def _word(self, request: Request, head: State, request_id: str) -> Input | None:
        told: tuple[str, str, str] = (head.saga_id, "so it is", request_id)
        manifest = self._system.sealed[head.definition].manifest
        rng = Random(request.draw)  # noqa: S311 - a draw, no secret
        match request.kind:
            case "cancel":
                return Cancel(*told, expected=rng.choice([None, head.version]))
            case "hold":
                return Hold(*told)
            case "release":
                return Release(*told)
            case "send":
                names = [node.name for node in manifest.nodes if node.kind == "signal"]
                if not names:
                    return None
                name = rng.choice(names)
                return Send(head.saga_id, name, example(manifest.by_name[name].result_schema, rng), request_id)
            case "correct":
                return self._correct(head, told, rng)
            case "migrate":
                return self._migrate(head, told)
            case "try again" | "resolve":
                return self._decide(request.kind, head, told, rng)

    def _migrate(self, head: State, told: tuple[str, str, str]) -> Input:
        """To the other version, with what its conditions read."""
        old, new = self._system.sealed[head.definition].manifest, self._system.versions[head.definition]
        if head.fingerprint == new.fingerprint:
            old, new = new, old
        seen = at_once(see(self._system.database.store, [(old, head)], new, None))
        return Migrate(*told, expected=head.version, manifest=new, facts=seen[head.saga_id].facts)

    def _correct(self, head: State, told: tuple[str, str, str], rng: Random) -> Input | None:
        """Somebody has seen that the input was wrong, or what a step gave."""
        sealed = self._system.sealed[head.definition]
        if rng.random() < INPUT:
            return Correct(*told, value=sealed.normalise(example(sealed.manifest.input_schema, rng)))
        done = sorted(
            (key for key, step in head.steps.items() if step.status == "succeeded"),
            key=lambda key: (key[0], key[1] or 0),
        )
        steps = {node.name for node in sealed.manifest.nodes if node.kind == "step"}
        done = [key for key in done if key[0] in steps]
        if not done:
            return None
        name, item = rng.choice(done)
        value = example(sealed.manifest.by_name[name].result_schema, rng)
        return Correct(*told, step=name, item=item, value=value)

    def _decide(
        self, kind: Literal["resolve", "try again"], head: State, told: tuple[str, str, str], rng: Random
    ) -> Input | None:
        """What an operator says of something on the desk: they look first, so it is true."""
        desks = [wait for wait in head.waits.values() if _is_desk(wait)]
        if not desks and kind == "try again":
            return _hasten(head, told, rng)
        if not desks:
            return None
        if kind == "resolve" and head.status == "failed" and rng.random() < ACCEPT:
            return Resolve(*told, outcome="accept")
        desk = rng.choice(desks)
        step = desk.step or ""
        there = (head.saga_id, step, desk.item) in self._system.outside.there
        undoing = desk.cause in ("undo_failed", "late_effect")
        if kind == "try again" or (undoing and there):
            return TryAgain(*told, step=step, item=desk.item, undo=undoing)
        if undoing:
            return Resolve(*told, step=step, item=desk.item, outcome="undone")
        if there:
            node = self._system.sealed[head.definition].manifest.by_name[step]
            value = example(node.result_schema, rng)
            return Resolve(*told, step=step, item=desk.item, outcome="happened", value=value)
        return Resolve(*told, step=step, item=desk.item, outcome=rng.choice(("did_not_happen", "skip")))

    async def _ask(self, word: Input, *, joined: bool = False) -> Answer:
        """Ask one API process after the other until one has answered."""
        self._system.checks.said.asks(word)
        for again in count():
            self._asked += 1
            apis = [one for name, one in self._system.processes.items() if name.startswith("api")]
            process = apis[self._asked % len(apis)]
            if process.host.alive and not process.host.stopped:
                answer: asyncio.Future[Answer | None] = self._loop.create_future()
                process.host.on_death.append(partial(_settle, answer, None))
                if joined and isinstance(word, Start):
                    process.host.run(self._start_joined(process, word, answer, again))
                else:
                    process.host.run(_apply(process.engine, word, answer))
                found = await self._first(answer)
                if found is not None:
                    return found
            await asyncio.sleep(AGAIN_SECONDS)
        raise AssertionError("people never stop asking")

    async def _start_joined(
        self, process: "Process", word: Start, answer: "asyncio.Future[Answer | None]", again: int
    ) -> None:
        system = self._system
        rng = Random(f"{system.script.seed}/caller/{word.saga_id}/{again}")  # noqa: S311 - a draw, no secret
        transaction = CallersTransaction(system.database, process.to_database, system.checks.changes)
        found = await start_joined(process.engine, word, transaction, system.trace.mark, rng)
        _settle(answer, found)

    async def _first(self, answer: "asyncio.Future[Answer | None]") -> Answer | None:
        """The answer, if it comes in time."""
        self._loop.later(5.0, _settle, answer, None)
        return await answer


async def _apply(engine: Engine, word: Input, answer: "asyncio.Future[Answer | None]") -> None:
    try:
        (found,) = await engine.apply([word])
    except StoreUnavailable:
        _settle(answer, None)
        return
    _settle(answer, found)


def _settle(answer: "asyncio.Future[Answer | None]", found: Answer | None) -> None:
    if not answer.done():
        answer.set_result(found)


def _is_desk(wait: Wait) -> bool:
    return wait.kind == "operator" and wait.step is not None


def _hasten(head: State, told: tuple[str, str, str], rng: Random) -> Input | None:
    """Somebody does not want to wait for a delay."""
    delayed = [wait for wait in head.waits.values() if wait.kind == "retry" and wait.step is not None]
    if not delayed:
        return None
    chosen = rng.choice(delayed)
    return TryAgain(*told, step=chosen.step or "", item=chosen.item, undo=chosen.role == "undo")


def _is_of(head: State, saga_id: str) -> bool:
    return head.parent is not None and head.parent.saga_id == saga_id

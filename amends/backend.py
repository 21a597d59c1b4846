"""What a route may do: use the database, start and cancel sagas, see how they stand. One for each API process."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from amends import views
from amends.archiving import find
from amends.identifiers import new_id
from amends.joining import KeyConflict, NotSupported
from amends.starting import StartRefused, ToStart, word_of
from amends.stored_values import Seen, see
from amends.timeline import instant
from eventstore.requests import Requests
from eventstore.workers import nobody_for
from orchestrator.commits import Commits
from orchestrator.engine import Engine
from orchestrator.publisher import Background
from sagas.definition import Saga
from sagas.errors import InputError
from sagas.events import FallbackUsed, Json, ProbeAnswered, Recorded, StepResolved, StepSkipped, StepSucceeded
from sagas.inputs import Answer, Asked, Cancel, Send, Start
from sagas.listing import SagaFilter
from sagas.manifest import Manifest
from sagas.ports import CommandSender, Store, TransportRefused, TransportUnavailable
from sagas.schemas import fit
from sagas.seal import Sealed, unsupported_in

if TYPE_CHECKING:
    import asyncpg

ENDS_WELL = (StepSucceeded, FallbackUsed, ProbeAnswered, StepResolved, StepSkipped)
I = TypeVar("I")  # noqa: E741 - the input
O = TypeVar("O")  # noqa: E741 - the output


class UnknownDefinition(LookupError):
    """No saga has this name."""


class UnknownSaga(LookupError):
    """No saga has this id."""


@dataclass(frozen=True)
class Handle(Generic[O]):
    """A saga that was started, or that was known by its key (`created` is false)."""

    id: str
    created: bool
    status: str


@dataclass(frozen=True, slots=True)
class Looked:
    """A version of a definition, and what it makes of a saga's values as they were at `version` of the saga."""

    manifest: Manifest
    seen: Seen
    version: int


class Backend:
    """`database` is a pool of asyncpg connections to Amends' own database, `store` the port of the engine.

    What is asked at the same time shares commits. `archive` is the folder of archived sagas.
    """

    def __init__(
        self,
        store: Store,
        database: "asyncpg.Pool[asyncpg.Record]",
        engine: Engine,
        sender: CommandSender,
        sagas: Mapping[str, Sealed],
        requests: Requests | None = None,
        archive: Path = Path(),
    ) -> None:
        self.store = store
        self._archive = archive
        self.database = database
        self.sagas = sagas
        self.requests = requests or Requests(database)
        self._engine = engine
        self._commits = Commits(engine)
        self._sender = sender
        self._background = Background()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Any]:
        """A transaction on a connection; sagas started in it exist exactly if it commits, and begin at once then."""
        async with self.database.acquire() as connection, connection.transaction():
            yield connection
        self._background.spawn(self._wake())

    async def start(
        self,
        saga: Saga[I, O] | str,
        input: object,
        *,
        key: str | None = None,
        connection: object | None = None,
        saga_id: str | None = None,
        actor: str | None = None,
        trace: str | None = None,
    ) -> Handle[O]:
        """Start a saga. With `connection` it joins that transaction.

        Raises:
            UnknownDefinition: there is no such saga. NotSupported: it cannot run yet.
            InputError: the input does not fit.
            KeyConflict: the key is taken by a saga with another input.
            StoreUnavailable: nothing was started, or nobody knows; the same key may be tried again.
        """
        sealed = self._sealed(saga)
        if missing := unsupported_in(sealed.saga):
            raise NotSupported(f"saga '{sealed.manifest.name}' uses what this version cannot run: {', '.join(missing)}")
        word = Start(saga_id or new_id(), sealed.manifest, sealed.normalise(input), key=key, actor=actor, trace=trace)
        if connection is not None:
            answer = await self._engine.start_within(word, connection)
        else:
            (answer,) = await self._commits.apply([word])
        return self._handle(sealed.manifest.name, answer)

    async def start_many(
        self,
        items: Sequence[ToStart[Any]],
        *,
        request_id: str | None = None,
        actor: str | None = None,
        trace: str | None = None,
    ) -> list[Handle[Any] | StartRefused]:
        """Start many sagas in few commits; for each its handle, or why it was not started. One holds up no other.

        The same list under the same `request_id` gives the same sagas, also of items without a key.

        Raises:
            StoreUnavailable: nobody knows which were started; the same keys, or request id, may be tried again.
        """
        words = [
            word_of(self.sagas, index, item, request_id, actor=actor, trace=trace) for index, item in enumerate(items)
        ]
        each = (self._commits.apply([word]) for word in words if isinstance(word, Start))  # so batches stay bounded
        answers = iter(await asyncio.gather(*each))
        return [
            word if isinstance(word, StartRefused) else self._told(index, word, next(answers)[0], request_id)
            for index, word in enumerate(words)
        ]

    async def ask(self, word: Asked | Send) -> Answer:
        """Ask something of a saga.

        The answer is `accepted`, `nothing` (it is so already), `refused`, `moved` or `not_found`. A `request_id` that
        did it before is answered `nothing`, also when it would be refused since.
        """
        (told,) = await self._commits.apply([word])
        passed = await self._pivot_passed(word.saga_id) if told.code == "refused" and isinstance(word, Cancel) else None
        return told if passed is None else replace(told, detail=f"{told.detail} at {passed}")

    async def ask_all(self, words: Sequence[Asked]) -> list[Answer]:
        """Ask something of many sagas in one commit; an answer for each, as `ask` gives it."""
        return await self._commits.apply(words)

    async def fit(self, saga_id: str, name: str | None, value: object) -> Json:
        """A value for a node of a saga, or for its input, as it is stored.

        The types of today check it, or the schema of the saga's own version where they do not know the node.

        Raises:
            UnknownSaga: there is no such saga. InputError: it does not fit, or there is no such node.
            UnknownDefinition: nobody here knows the types of the saga, nor can its own version be read.
        """
        head = (await self.store.heads([saga_id])).get(saga_id)
        if head is None:
            raise UnknownSaga(saga_id)
        manifest = (await self._engine.manifests([head])).get(head.fingerprint)
        if manifest is not None and not _knows(self.sagas.get(head.definition), manifest, name):
            return fit(manifest, name, value)
        return self._sealed(head.definition).normalise_value(name, value)

    async def look_at(self, saga_id: str, fingerprint: str) -> Looked | None:
        """A saga, seen by a version of a definition; None: nobody has declared it here.

        Raises:
            UnknownSaga: there is no such saga.
        """
        head = (await self.store.heads([saga_id])).get(saga_id)
        if head is None:
            raise UnknownSaga(saga_id)
        target = (await self.store.manifests([fingerprint])).get(fingerprint)
        if target is None:
            return None
        types = self.sagas.get(target.name)
        same = types if types is not None and types.manifest.fingerprint == fingerprint else None
        old = (await self._engine.manifests([head])).get(head.fingerprint)
        known = [(old, head)] if old is not None and not head.newer and target.name == head.definition else []
        seen = (await see(self.store, known, target, same)).get(saga_id, Seen({}))
        return Looked(target, seen, head.version)

    async def view(self, saga_id: str) -> dict[str, Json] | None:
        """A saga with its steps, waits and values, an archived one too; None when there is none."""
        head = (await self.store.heads([saga_id])).get(saga_id)
        if head is None:
            return await self._archived(saga_id)
        manifest = (await self._engine.manifests([head])).get(head.fingerprint)
        if head.newer or manifest is None:
            return await views.unread(self.store, head)
        return await views.detail(
            self.store, manifest, head, await self._engine.now(), await nobody_for(self.database, saga_id)
        )

    async def history(self, saga_id: str, after: int, limit: int) -> list[Recorded] | None:
        """A page of the events of a saga, of an archived one too; None when there is none."""
        if (found := await self.store.history(saga_id, after, limit)) or await self.store.heads([saga_id]):
            return found
        archived = await find(self.database, self._archive, saga_id)
        return None if archived is None else await archived.history(saga_id, after, limit)

    async def job(self, saga_id: str) -> dict[str, Json] | None:
        """A saga as a job; None when there is none."""
        view = await self.view(saga_id)
        return None if view is None else {**views.job(view), "input": view["input"]}

    async def list(self, wanted: SagaFilter) -> tuple[list[dict[str, Json]], str | None]:
        """A page of sagas, newest first, and where the next page begins."""
        rows = await self.store.sagas(wanted)
        return [views.summary(row) for row in rows], rows[-1].cursor if len(rows) == wanted.limit else None

    async def manifest_of(self, saga_id: str) -> Manifest | None:
        """The manifest that a saga goes by; None when there is no such saga."""
        head = (await self.store.heads([saga_id])).get(saga_id)
        return None if head is None else (await self._engine.manifests([head])).get(head.fingerprint)

    async def close(self) -> None:
        """Let what runs in the background end."""
        await self._commits.close()
        await self._background.finish()

    async def _archived(self, saga_id: str) -> dict[str, Json] | None:
        found = await find(self.database, self._archive, saga_id)
        if found is None:
            return None
        if found.manifest is None or found.state.newer:
            return await views.unread(found, found.state)
        return await views.detail(found, found.manifest, found.state, found.events[-1].at)

    async def _pivot_passed(self, saga_id: str) -> str | None:
        """When a saga that goes on behind its pivot passed it."""
        head = (await self.store.heads([saga_id]))[saga_id]
        manifest = (await self._engine.manifests([head])).get(head.fingerprint)
        pivot = manifest.pivot if manifest is not None else None
        if head.status != "active" or pivot is None:
            return None
        history = await self.store.history(saga_id, limit=views.HISTORY_MAX)
        ended = [entry for entry in history if entry.event.step == pivot.name and isinstance(entry.event, ENDS_WELL)]
        return instant(ended[-1].at) if ended else None

    def _sealed(self, saga: Saga[Any, Any] | str) -> Sealed:
        name = saga if isinstance(saga, str) else saga.name
        if name not in self.sagas:
            known = ", ".join(sorted(self.sagas)) or "none"
            raise UnknownDefinition(f"no saga is called '{name}'; there are: {known}")
        return self.sagas[name]

    def _handle(self, name: str, answer: Answer) -> Handle[Any]:
        if answer.code in ("conflict", "newer"):
            raise KeyConflict(answer.detail or "the key is taken", answer.saga_id)
        if answer.code == "refused":
            raise InputError(name, [("", answer.detail or "refused")])
        return Handle(answer.saga_id, answer.code == "created", answer.status)

    def _told(self, index: int, word: Start, answer: Answer, request_id: str | None) -> Handle[Any] | StartRefused:
        if answer.code in ("conflict", "newer"):
            field = "key" if word.key is not None else "request_id"
            return StartRefused(index, "conflict", [(field, answer.detail or "it is taken")], answer.saga_id)
        if answer.code == "refused":
            return StartRefused(index, "invalid", [("input", answer.detail or "refused")])
        own = request_id is not None and answer.saga_id == word.saga_id  # perhaps made before a crash
        return Handle(answer.saga_id, own or answer.code == "created", answer.status)

    async def _wake(self) -> None:
        """An orchestrator may send at once what is marked; if nobody can be woken, the sweep finds it in a second."""
        try:
            await self._sender.wake()
        except (TransportUnavailable, TransportRefused):
            return


def _knows(types: Sealed | None, manifest: Manifest, name: str | None) -> bool:
    """Whether the types of today have the input, or the node as the same kind of thing."""
    if types is None or name is None:
        return types is not None
    before, today = manifest.by_name.get(name), types.manifest.by_name.get(name)
    return before is not None and today is not None and before.kind == today.kind

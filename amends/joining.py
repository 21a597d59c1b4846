"""`start` inside a transaction of your own: the saga exists exactly if your change does (rule A4)."""

from typing import Any

from amends.clock import LoopClock
from amends.identifiers import new_id
from amends.settings import load
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.definition import Saga
from sagas.errors import InputError
from sagas.inputs import Start
from sagas.seal import unsupported_in


class KeyConflict(ValueError):
    """The key is taken by a saga with another input, or by one that only a newer Amends can read: `saga_id`."""

    def __init__(self, message: str, saga_id: str) -> None:
        super().__init__(message)
        self.saga_id = saga_id


class NotSupported(ValueError):
    """The saga uses what this version cannot run; the text names each."""


async def start(saga: Saga[Any, Any], input: object, *, connection: Any, key: str | None = None) -> str:
    """Start a saga in the transaction that is open on an asyncpg connection to Amends' database; the saga's id.

    Its first commands go out within a second of the commit. Timeouts and retries that the saga does not name are those
    of this process's settings (`AMENDS_STEP_TIMEOUT`, `QUEUE_MAX_RETRIES`, …): give it the same as the API.

    Raises:
        InputError: the input does not fit. KeyConflict: the key has another input. NotSupported: it cannot run yet.
        SettingsError: a setting is malformed.
    """
    sealed = saga.seal(load().defaults)
    if missing := unsupported_in(sealed.saga):
        raise NotSupported(f"saga '{saga.name}' uses what this version cannot run: {', '.join(missing)}")
    store = PostgresStore(connection, connection, connection)
    await store.put_absent_manifest(sealed.manifest)
    word = Start(new_id(), sealed.manifest, sealed.normalise(input), key=key)
    answer = await Engine(store, LoopClock()).start_within(word, connection)
    if answer.code in ("conflict", "newer"):
        raise KeyConflict(answer.detail or "the key is taken", answer.saga_id)
    if answer.code == "refused":
        raise InputError(saga.name, [("key", answer.detail or "refused")])
    return answer.saga_id

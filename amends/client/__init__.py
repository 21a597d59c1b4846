"""A client of the HTTP API, for services that start sagas and ask how they stand."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, TypeVar, cast
from uuid import uuid4

import aiohttp
import orjson
from pydantic import TypeAdapter

from amends.client.many import body_of, prepared, refused
from amends.settings import api_key, load
from amends.settings import url as api_url
from amends.starting import StartRefused, ToStart
from sagas.definition import Saga
from sagas.durations import Seconds, in_seconds
from sagas.events import Resolution
from sagas.nodes import Signal

I = TypeVar("I")  # noqa: E741 - the input
O = TypeVar("O")  # noqa: E741 - the output
M = TypeVar("M")

Status = Literal["active", "compensating", "completed", "compensated", "failed"]
LOOK_SECONDS, LOOK_SECONDS_MAX = 0.01, 2.0
"""Who waits for a result looks again after this, then after twice as long: a saga of some ms is heard of in time."""
RETRY_SECONDS = 0.1
TRIES = 5
SLOWER = 2.0
CALL_SECONDS = 30.0
SHOWN_CHARACTERS_MAX = 500


class ClientError(Exception):
    """The API refused; `status` is the HTTP status, `problem` the problem document.

    An answer that is none of the API's, such as a proxy's page, is one too: `title` says so, `detail` quotes it.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title')}: {problem.get('detail')}")
        self.status = status
        self.problem = problem


class MovedError(ClientError):
    """The saga is no longer at the version that was expected: nothing was done. Look again, then ask again."""


class NotCompletedError(Exception):
    """The saga has no result: it was compensated, or rests failed. `error` says why."""

    def __init__(self, saga_id: str, status: str, error: dict[str, Any] | None) -> None:
        super().__init__(f"saga {saga_id} is {status}: {error['message'] if error else 'turned back'}")
        self.status = status
        self.error = error


@dataclass(frozen=True)
class Done:
    """What came of something that was asked of many sagas: of how many it is so now, and of which it was refused.

    `refused` says why, by their ids. Where it was only counted, `count` is how many were found.
    """

    count: int
    refused: Mapping[str, str]


class Handle(Generic[O]):
    """A saga that was started. `created` is false when its key was known."""

    def __init__(self, client: "Client", saga: Saga[Any, O], id: str, created: bool = False) -> None:
        self.id = id
        self.created = created
        self._client = client
        self._saga = saga

    async def status(self) -> Status:
        """How the saga stands."""
        found = await self._client.call("GET", f"/api/sagas/{self.id}")
        return cast("Status", found["status"])

    async def result(self, *, timeout: Seconds | None = None) -> O:
        """The saga's result, once it is completed.

        Raises:
            NotCompletedError: it was compensated, or rests failed. TimeoutError: it has not ended in time.
        """
        async with asyncio.timeout(None if timeout is None else in_seconds(timeout)):
            pause = LOOK_SECONDS
            while True:
                found = await self._client.call("GET", f"/api/sagas/{self.id}")
                if found["status"] == "completed":
                    result: O = self._saga.seal().load_result(found["result"])
                    return result
                if found["status"] in ("compensated", "failed"):
                    raise NotCompletedError(self.id, found["status"], found["error"])
                await asyncio.sleep(pause)
                pause = min(pause * SLOWER, LOOK_SECONDS_MAX)


class Client:
    """Use it as an asynchronous context manager. Without arguments it takes `AMENDS_URL` and `AMENDS_API_KEY`.

    While the API is away it is tried again. What changes something is sent with an `Idempotency-Key` of its own: it is
    done once, however often it is sent.
    """

    def __init__(self, url: str | None = None, *, key: str | None = None) -> None:
        self._url = (url or api_url() or "http://127.0.0.1:3000").rstrip("/")
        self._headers = {"Authorization": f"Bearer {key or api_key() or ''}", "Content-Type": "application/json"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def start(self, saga: Saga[I, O], input: I, *, key: str | None = None) -> Handle[O]:
        """Start a saga; the same key and input give the same saga.

        Raises:
            InputError: the input does not fit. ClientError: the API refused (409: the key has another input).
        """
        body: dict[str, Any] = {"definition": saga.name, "input": saga.seal().normalise(input)}
        if key is not None:
            body["key"] = key
        found = await self.call("POST", "/api/sagas", body)
        return Handle(self, saga, found["sagaId"], found["created"])

    async def start_many(
        self, items: Sequence[ToStart[Any]], *, request_id: str | None = None
    ) -> list[Handle[Any] | StartRefused]:
        """Start many sagas: for each its handle, or why it was not started. One holds up no other.

        They are sent up to 500 and 1 MiB at a time. The same list under the same `request_id` (at most 200 printable
        ASCII characters) is started once within a day, also its items without a key.

        Raises:
            ClientError: the API refused; some may be started, and the same list may be sent again.
        """
        found, pages = prepared(items)
        for number, page in enumerate(pages):
            key = None if request_id is None else f"{request_id}/{number}"
            answer = await self._send("POST", "/api/sagas/batch", body_of(page), None, key)
            for one, told in zip(page, answer["items"], strict=True):
                if told["outcome"] in ("created", "known"):
                    found[one.index] = Handle(self, one.saga, told["sagaId"], told["created"])
                else:
                    found[one.index] = refused(one.index, told)
        return [found[index] for index in range(len(items))]

    def handle(self, saga: Saga[Any, O], id: str) -> Handle[O]:
        """A saga that was started before."""
        return Handle(self, saga, id)

    async def signal(self, id: str, signal: Signal[M], value: M, *, expect_version: int | None = None) -> None:
        """Send something that a saga waits for, or will.

        This and all that is asked of a saga takes `expect_version`, the version that you saw.

        Raises:
            MovedError: it is no longer at that version.
            ClientError: the API refused (409: nobody waits for it any more; 422: the value does not fit).
        """
        stored = TypeAdapter[Any](type(value)).dump_python(value, mode="json", by_alias=False)
        await self._send("POST", f"/api/sagas/{id}/signals/{signal.name}", {"value": stored}, expect_version)

    async def cancel(self, id: str, *, reason: str, expect_version: int | None = None) -> None:
        """Turn a saga back.

        Raises:
            ClientError: the API refused (409: there is no way back).
        """
        await self._ask(id, "cancel", expect_version, reason=reason)

    async def hold(self, id: str, *, reason: str, expect_version: int | None = None) -> None:
        """Let a saga begin nothing new until it is released.

        Raises:
            ClientError: the API refused (409: it has ended).
        """
        await self._ask(id, "hold", expect_version, reason=reason)

    async def release(self, id: str, *, reason: str, expect_version: int | None = None) -> None:
        """Let a held saga go on."""
        await self._ask(id, "release", expect_version, reason=reason)

    async def retry(
        self, id: str, step: str, *, reason: str, item: int | None = None, undo: bool = False,
        expect_version: int | None = None,
    ) -> None:  # fmt: skip
        """Try a step, or its undo, again: one that waits for an operator, or for its delay. `undo`: its undo only.

        Raises:
            ClientError: the API refused (409: it waits for nobody).
        """
        await self._ask(id, "retry", expect_version, reason=reason, step=step, item=item, undo=undo)

    async def correct(
        self, id: str, value: object, *, reason: str, step: str | None = None, item: int | None = None,
        expect_version: int | None = None,
    ) -> None:  # fmt: skip
        """Replace a step's result, or the input where no step is named, by another, given as JSON.

        Raises:
            ClientError: the API refused (422: the value does not fit).
        """
        await self._ask(id, "correct", expect_version, reason=reason, step=step, item=item, value=value)

    async def resolve(
        self, id: str, outcome: Resolution, *, reason: str, step: str | None = None, item: int | None = None,
        result: object = None, expect_version: int | None = None,
    ) -> None:  # fmt: skip
        """Say what is true of a step that the saga does not know. `accept`, without a step, closes a saga at rest.

        Raises:
            ClientError: the API refused (409: that is no question; 422: the result does not fit).
        """
        await self._ask(
            id, "resolve", expect_version, reason=reason, outcome=outcome, step=step, item=item, result=result
        )

    async def migrate(self, id: str, saga: Saga[Any, Any], *, reason: str, expect_version: int | None = None) -> None:
        """Let a saga go on by this version of its definition, which the API must know.

        Raises:
            ClientError: the API refused (409: what it has done does not fit; 422: the version is not known there).
        """
        fingerprint = saga.seal(load().defaults).manifest.fingerprint
        await self._ask(id, "migrate", expect_version, reason=reason, fingerprint=fingerprint)

    async def hold_all(
        self, *, reason: str, definition: str | None = None, status: Status | None = None,
        key_prefix: str | None = None, dry_run: bool = False,
    ) -> Done:  # fmt: skip
        """Hold all open sagas that a filter finds. `dry_run` only counts.

        A page at a time: one that starts meanwhile is not among them.

        Raises:
            ClientError: the API refused (422: no filter is named).
        """
        return await self._ask_all("hold", reason, definition, status, key_prefix, dry_run=dry_run)

    async def release_all(
        self, *, reason: str, definition: str | None = None, status: Status | None = None,
        key_prefix: str | None = None, dry_run: bool = False,
    ) -> Done:  # fmt: skip
        """Release all held sagas that a filter finds. `dry_run` only counts.

        Raises:
            ClientError: the API refused (422: no filter is named).
        """
        return await self._ask_all("release", reason, definition, status, key_prefix, dry_run=dry_run)

    async def _ask_all(
        self, verb: str, reason: str, definition: str | None, status: str | None, key_prefix: str | None, *,
        dry_run: bool,
    ) -> Done:  # fmt: skip
        chosen = {"definition": definition, "status": status, "keyPrefix": key_prefix}
        body: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
        body |= {"reason": reason, "dryRun": dry_run}
        count, refused = 0, dict[str, str]()
        while True:
            page = await self.call("POST", f"/api/sagas/{verb}", body)
            count += int(page["matched" if dry_run else "changed"])
            refused |= {one["sagaId"]: one["detail"] for one in page["refused"]}
            if page["next"] is None:
                return Done(count, refused)
            body["cursor"] = page["next"]

    async def _ask(self, id: str, verb: str, expect_version: int | None, **body: object) -> None:
        told = {key: value for key, value in body.items() if value is not None or key in ("value", "result")}
        await self._send("POST", f"/api/sagas/{id}/{verb}", told, expect_version)

    async def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Ask the API; a route of an application that changes something must take an `Idempotency-Key`.

        Raises:
            ClientError: it refused. aiohttp.ClientError, TimeoutError: it cannot be reached.
        """
        return await self._send(method, path, body, None)

    async def _send(
        self, method: str, path: str, body: object, expect_version: int | None, request_id: str | None = None
    ) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("open the client first: async with Client() as client")
        headers = {} if method == "GET" else {"Idempotency-Key": request_id or str(uuid4())}
        headers |= {} if expect_version is None else {"If-Match": f'"{expect_version}"'}
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        pause = RETRY_SECONDS
        for left in range(TRIES - 1, -1, -1):
            try:
                async with self._session.request(
                    method, f"{self._url}{path}", data=data, headers=headers, allow_redirects=False
                ) as response:
                    raw = await response.read()
                if response.status < 300:
                    return _object(response, raw)
                if not left or (response.status != 503 and "Retry-After" not in response.headers):
                    kind = MovedError if response.status == 412 else ClientError
                    raise kind(response.status, _object(response, raw))
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
                if not left:
                    raise
            await asyncio.sleep(pause)
            pause *= SLOWER
        raise AssertionError("unreachable")


def _object(response: aiohttp.ClientResponse, raw: bytes) -> dict[str, Any]:
    """The JSON object that was answered.

    Raises:
        ClientError: it is none.
    """
    try:
        found: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        shown = raw.decode("utf-8", "replace")[:SHOWN_CHARACTERS_MAX]
        title = f"No answer of Amends ({response.reason})"
        raise ClientError(response.status, {"title": title, "detail": shown}) from None
    return cast("dict[str, Any]", found)

"""A commit whose answer is lost on the wire: nobody may assume, and the saga moves exactly once (rule_A7)."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from amends.clock import LoopClock
from amends.identifiers import new_id
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from sagas.inputs import Start
from sagas.ports import Committed, CommitUnknown, Move
from tests.conformance.test_store import MANIFEST, started, succeeded

SOCKET = ".s.PGSQL.5432"


class CuttingProxy:
    """Stands before PostgreSQL; when armed it lets the next statement through and keeps its answer."""

    def __init__(self, real: Path) -> None:
        self._real = real
        self._armed = False
        self.cut = 0

    def arm(self) -> None:
        """Cut the next answer."""
        self._armed = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        upstream, downstream = await asyncio.open_unix_connection(str(self._real))
        asked = asyncio.Event()

        async def forth() -> None:
            while data := await reader.read(65536):
                if self._armed:
                    asked.set()
                downstream.write(data)

        async def back() -> None:
            while data := await upstream.read(65536):
                if self._armed and asked.is_set():
                    self._armed = False
                    self.cut += 1
                    return
                writer.write(data)

        tasks = [asyncio.create_task(forth()), asyncio.create_task(back())]
        with contextlib.suppress(OSError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for end in (writer, downstream):
            end.close()


class ArmedStore(PostgresStore):
    """Arms its proxy just before an append, when it is told to."""

    proxy: CuttingProxy | None = None

    async def append(self, moves: Sequence[Move]) -> Committed:
        """Append; the answer is cut once where a proxy is set."""
        if self.proxy is not None:
            await self.appending.fetchval("SELECT 1")  # the one that was cut is replaced before
            self.proxy.arm()
            self.proxy = None
        return await super().append(moves)


@pytest.fixture
async def proxied(database_url: str) -> AsyncGenerator[tuple[ArmedStore, CuttingProxy]]:
    """A store behind a proxy, whose append and start have been prepared already."""
    address = urlsplit(database_url)
    real = Path(parse_qs(address.query)["host"][0]) / SOCKET
    folder = Path(tempfile.mkdtemp(prefix="proxy-"))
    proxy = CuttingProxy(real)
    server = await asyncio.start_unix_server(proxy.serve, str(folder / SOCKET))
    store = await ArmedStore.open(f"postgresql://amends@{address.path}?host={folder}")
    await store.put_manifest(MANIFEST)
    engine = Engine(store, LoopClock())
    word = Start(new_id(), MANIFEST, None)
    await engine.apply([word])
    await engine.apply([succeeded((await store.heads([word.saga_id]))[word.saga_id])])
    yield store, proxy
    await store.close()
    server.close()
    await server.wait_closed()
    shutil.rmtree(folder)


async def test_a_cut_answer_is_an_unknown_commit_that_has_happened(
    proxied: tuple[ArmedStore, CuttingProxy],
) -> None:
    store, proxy = proxied
    begun = started(7)
    proxy.arm()
    with pytest.raises(CommitUnknown):
        await store.start([begun])
    assert proxy.cut == 1
    assert begun.saga_id in await store.heads([begun.saga_id])


async def test_the_engine_looks_for_it_and_answers_created(proxied: tuple[ArmedStore, CuttingProxy]) -> None:
    store, proxy = proxied
    engine = Engine(store, LoopClock())
    word = Start(new_id(), MANIFEST, {"n": 1}, key="lost")
    await engine.now()
    proxy.arm()
    (answer,) = await engine.apply([word])
    assert (proxy.cut, answer.code, answer.saga_id) == (1, "created", word.saga_id)
    state = (await store.heads([word.saga_id]))[word.saga_id]
    outcome = succeeded(state)
    store.proxy = proxy
    await engine.append([outcome])
    assert proxy.cut == 2
    state = (await store.heads([word.saga_id]))[word.saga_id]
    assert state.step("first").status == "succeeded"
    assert len(await store.history(word.saga_id)) == state.version == 4

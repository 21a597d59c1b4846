"""A database that neither answers nor breaks: nobody waits for it longer than he said."""

import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventstore.postgres import PostgresStore
from sagas.listing import SagaFilter
from sagas.ports import StoreUnavailable

SECONDS = 0.3

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[PostgresStore]:
    opened = await PostgresStore.open(database_url, seconds=SECONDS)
    yield opened
    await opened.close()


async def processes_of(store: PostgresStore) -> list[int]:
    """The server's first process, which would take requests to cancel, and those that serve this database."""
    rows = await store.pool.fetch("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    backends = [int(row["pid"]) for row in rows]
    parent = int(Path(f"/proc/{backends[0]}/stat").read_text("utf-8").rpartition(")")[2].split()[1])
    return [parent, *backends]


@contextmanager
def frozen(pids: list[int]) -> Generator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_who_asks_a_frozen_database_is_told_soon_and_each_time(store: PostgresStore) -> None:
    with frozen(await processes_of(store)):
        for _ in range(3):  # the first on a connection that is open, the others on new ones
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.sagas(SagaFilter(limit=1))
            assert time.monotonic() - began < 2 * SECONDS + 0.5
    assert await store.sagas(SagaFilter(limit=1)) == []


async def test_a_store_on_a_frozen_database_can_be_closed(database_url: str) -> None:
    opened = await PostgresStore.open(database_url, seconds=SECONDS)
    with frozen(await processes_of(opened)):
        began = time.monotonic()
        await opened.close()
        assert time.monotonic() - began < 6

"""What tests on a real database share: a store with the manifest of the contract tests, and an engine on it."""

from collections.abc import AsyncGenerator

import pytest

from amends.clock import LoopClock
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from tests.conformance.test_store import MANIFEST


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[PostgresStore]:
    opened = await PostgresStore.open(database_url)
    await opened.put_manifest(MANIFEST)
    yield opened
    await opened.close()


@pytest.fixture
def engine(store: PostgresStore) -> Engine:
    return Engine(store, LoopClock())

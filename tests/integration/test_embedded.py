"""The embedded servers: what a killed run left behind does not stop the next one, and strangers are left alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amends.embedded import SHARED, EmbeddedPostgres, EmbeddedValkey, remove
from amends.embedded_processes import EmbeddedError, end_servers_in
from tests.processes import alive
from tests.servers import start, wait_for

END_SECONDS = 10
PARENT = """
import subprocess, sys
from pathlib import Path
from amends.embedded import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]), durable=False)
server.prepare()
child = subprocess.Popen(server.process().arguments, cwd="/")
print(child.pid, flush=True)
sys.stdin.read()
"""


def socket_folder(url: str) -> Path:
    return Path(url.partition("?host=")[2] or url.removeprefix("unix://").rpartition("/")[0])


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + END_SECONDS
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"


def test_a_half_made_data_folder_is_made_anew(server_folder: Path) -> None:
    server = EmbeddedPostgres(server_folder / "half", durable=False)
    left = data_of(server)
    making = left.with_name(f"{left.name}.new")
    making.mkdir(parents=True)
    (making / "PG_VERSION").write_text("18\n")

    server.prepare()
    server.clear()

    assert (left / "global" / "pg_control").exists()
    assert not making.exists()


def test_a_killed_server_starts_again_over_its_stale_socket_and_pid_file(server_folder: Path) -> None:
    for server in (
        EmbeddedPostgres(server_folder / "stale", durable=False),
        EmbeddedValkey(server_folder / "stale", durable=False),
    ):
        server.prepare()
        first = start(server.process())
        wait_for(server, first)
        first.kill()
        first.wait()

        server.prepare()
        again = start(server.process())
        wait_for(server, again)
        again.send_signal(server.process().stop_signal)
        assert again.wait(timeout=20) == 0

        server.clear()
        assert not socket_folder(server.url).exists()


def data_of(server: EmbeddedPostgres) -> Path:
    arguments = server.process().arguments
    return Path(arguments[arguments.index("-D") + 1])


@pytest.mark.skipif(os.getuid() != 0, reason="only root's data lie elsewhere")
def test_a_data_directory_that_was_deleted_does_not_come_back_to_life(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folder = tmp_path / "p"
    first = data_of(EmbeddedPostgres(folder, durable=False))
    assert first.is_relative_to(SHARED)
    first.mkdir(parents=True)
    assert data_of(EmbeddedPostgres(folder, durable=False)) == first

    shutil.rmtree(folder)
    second = data_of(EmbeddedPostgres(folder, durable=False))
    assert second != first
    first.rmdir()

    second.mkdir()
    remove(tmp_path)
    assert not second.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder that is another user's")
def test_a_socket_folder_that_another_user_made_is_refused(server_folder: Path) -> None:
    server = EmbeddedValkey(server_folder / "squatted", durable=False)
    folder = socket_folder(server.url)
    folder.mkdir(mode=0o777)
    os.chown(folder, 1, 1)
    try:
        with pytest.raises(EmbeddedError, match="belongs to another user\n  remedy: remove it"):
            server.prepare()
    finally:
        server.clear()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_server_ends_with_the_process_that_started_it(server_folder: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(server_folder / "orphan")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        wait_until_gone(pid)
    EmbeddedValkey(server_folder / "orphan").clear()


def test_only_servers_are_ended_in_a_data_folder_never_somebody_s_shell(tmp_path: Path) -> None:
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    stranger = subprocess.Popen(waits, cwd=tmp_path, stdin=subprocess.PIPE)
    try:
        end_servers_in(tmp_path)
        assert stranger.poll() is None
    finally:
        stranger.communicate()

"""Processes of embedded servers: how they are started, and how those of a former run are found and ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BARE_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
SERVERS = frozenset({"postgres", "valkey-server", "redis-server"})
PROC = Path("/proc")
END_SECONDS = 10.0
LOOK_SECONDS = 0.02


class EmbeddedError(Exception):
    """An embedded server cannot be used here; the text says what to do."""


@dataclass(frozen=True)
class ServerProcess:
    """How a server is started: by whom (the launcher changes the user), with what, and how it is told to end."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(BARE_ENVIRONMENT))
    stop_signal: signal.Signals = signal.SIGTERM


def launched(name: str, command: Sequence[str], user: str | None, stop_signal: signal.Signals) -> ServerProcess:
    """A server that ends with this process, under a user of its own."""
    return ServerProcess(name, ending_with_us(command, stop_signal, user), stop_signal=stop_signal)


def ending_with_us(
    command: Sequence[str], stop_signal: signal.Signals = signal.SIGTERM, user: str | None = None
) -> tuple[str, ...]:
    """The command, so that it is told to end when this process is gone.

    It must be started from the main thread: the kernel takes the end of the starting thread for that of the process.
    """
    launcher = Path(__file__).with_name("embedded_launch.py")
    leading = (sys.executable, "-I", "-S", str(launcher), str(os.getpid()), user or "", str(int(stop_signal)))
    return (*leading, *command)


def end_servers_in(folder: Path) -> None:
    """End every server at work in this folder: what a killed supervisor left would block the next start.

    Raises:
        EmbeddedError: one does not end.
    """
    find = by_working_folder if PROC.is_dir() else by_pid_file
    deadline = time.monotonic() + END_SECONDS
    while found := find(folder):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            except PermissionError:
                raise EmbeddedError(
                    f"process {pid} in {folder} belongs to another user\n  remedy: end it, or name another folder"
                ) from None
        if time.monotonic() > deadline:
            raise EmbeddedError(f"processes {found} in {folder} do not end\n  remedy: end them")
        time.sleep(LOOK_SECONDS)


def by_working_folder(folder: Path) -> list[int]:
    """The servers whose working folder this is (Linux); backends have sessions of their own, and are found too."""
    wanted = str(folder.resolve())
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _link(pid, "cwd") == wanted and _program(pid) in SERVERS]


def by_pid_file(folder: Path) -> list[int]:
    """The servers that wrote their process id in this folder, where there is no /proc."""
    found: list[int] = []
    for name in ("postmaster.pid", "server.pid"):
        path = folder / name
        first = path.read_text("utf-8").split("\n", 1)[0].strip() if path.exists() else ""
        if first.isdigit() and _name_by_ps(int(first)) in SERVERS:
            found.append(int(first))
    return found


def _program(pid: int) -> str:
    return Path((_link(pid, "exe") or "").removesuffix(" (deleted)")).name


def _name_by_ps(pid: int) -> str:
    told = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return Path(told.stdout.strip()).name


def _link(pid: int, name: str) -> str | None:
    try:
        return str((PROC / str(pid) / name).readlink())
    except OSError:  # it has ended, or is another user's
        return None

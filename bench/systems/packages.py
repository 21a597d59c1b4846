"""Where the packages of other systems are: in environments of their own, which `make peers` fills."""

from collections.abc import Callable
from pathlib import Path

from amends.demo import bare_environment
from bench.systems.system import Round

FOLDER = Path(".bench")
REMEDY = "`make peers`, or `python -m bench.peers`, installs it"
OURS = Path(__file__).parent.parent


def interpreter(peers: Path) -> str:
    """The Python that has the packages."""
    return str(peers.absolute() / "python" / "bin" / "python")


def module(peers: Path, name: str) -> Path:
    """A package of node."""
    return peers.absolute() / "node_modules" / name


def program(name: str) -> str:
    """One of our programs that the other interpreters run."""
    return str(OURS / "foreign" / name)


def environment() -> dict[str, str]:
    """What those programs find in their environment: the way to the closed loop, and nothing that is set about us."""
    return {**bare_environment(), "PYTHONPATH": str(OURS / "programs")}


def lacks_python(peers: Path, package: str) -> str | None:
    """What is missing for a package of Python."""
    found = list(peers.glob(f"python/lib/python*/site-packages/{package}"))
    return None if found else f"{package} is not in {peers}/python: {REMEDY}"


def lacks_node(peers: Path, package: str) -> str | None:
    """What is missing for a package of node."""
    return None if module(peers, package).exists() else f"{package} is not in {peers}/node_modules: {REMEDY}"


def says(word: str, asked: Round, role: str) -> Callable[[], bool]:
    """Whether a process has written this word to its log."""
    log = asked.folder / f"{role}.log"
    return lambda: word in log.read_text("utf-8", "replace")

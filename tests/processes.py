"""Processes as tests see them: which live, and which a process has brought about."""

import subprocess
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet forgotten does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def descendants(pid: int) -> set[int]:
    """The processes that this one started, directly or through others, whatever their names, users and sessions."""
    told = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = {int(child): int(parent) for child, parent in (line.split() for line in told.stdout.splitlines())}
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found

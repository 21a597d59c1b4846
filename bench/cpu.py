"""Who used the processors: our processes by role, and everybody else (Linux: from /proc).

Both are sums over processes, which the kernel measures by the clock. The total in /proc/stat is sampled at timer ticks:
of processes that wake at a tick, as those do that wait for a disk, it claims several times what they use.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A process: its parent, and the ticks that it and those of its children that have ended have used."""

    parent: int
    ticks: int


@dataclass(frozen=True)
class Reading:
    """Seconds of CPU used up to an instant: by each role, by all roles together, and by all that is seen from here.

    A role may stand below another, as all do below the harness: what they use together is no sum of theirs.
    """

    roles: Mapping[str, float]
    ours: float
    machine: float
    at: float

    def since(self, before: "Reading") -> tuple[dict[str, float], float]:
        """CPU seconds of each role since then, and how many cores others used."""
        used = {role: seconds - before.roles.get(role, 0.0) for role, seconds in self.roles.items()}
        foreign = (self.machine - before.machine - (self.ours - before.ours)) / (self.at - before.at)
        return used, max(foreign, 0.0)


def read(roles: Mapping[str, int]) -> Reading:
    """What each role, a process with all its descendants, and the machine have used so far."""
    at = time.monotonic()
    table = dict(_table())
    machine = sum(process.ticks for process in table.values()) / TICKS_PER_SECOND
    used = {role: tree_ticks(table, [pid]) / TICKS_PER_SECOND for role, pid in roles.items()}
    return Reading(used, tree_ticks(table, roles.values()) / TICKS_PER_SECOND, machine, at)


def process_of(text: str) -> Process:
    """The process of a /proc/PID/stat; its name may hold anything, blanks and brackets too."""
    fields = text.rpartition(")")[2].split()
    return Process(int(fields[1]), sum(int(part) for part in fields[11:15]))


def tree_ticks(table: Mapping[int, Process], pids: Iterable[int]) -> int:
    """The ticks of these processes and of all their descendants, each counted once."""
    children: dict[int, list[int]] = {}
    for child, process in table.items():
        children.setdefault(process.parent, []).append(child)
    found: set[int] = set()
    todo = list(pids)
    while todo:
        if (one := todo.pop()) not in found:
            found.add(one)
            todo += children.get(one, [])
    return sum(table[one].ticks for one in found if one in table)


def memory_mib(pid: int) -> float:
    """The most that a process has had in memory, in MiB; 0 of one that has ended."""
    try:
        lines = (PROC / str(pid) / "status").read_text("utf-8", "replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def _table() -> Iterator[tuple[int, Process]]:
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), process_of((entry / "stat").read_text("utf-8", "replace"))
            except (FileNotFoundError, ProcessLookupError):
                continue

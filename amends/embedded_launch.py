"""Starts a process as another user and lets it end with whoever started it; run as a program, not imported.

`python embedded_launch.py PARENT USER SIGNAL PROGRAM ARGUMENT…`: PARENT is the process to end with, USER is empty for
the present one. It becomes PROGRAM, so the process keeps its id. The kernel tells of the end of a parent on Linux only;
elsewhere the next start ends what was left.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def become(parent: int, user: str, end_signal: int, command: list[str]) -> None:
    """Give up rights, tie this process to its parent, and become the command. Does not return.

    Raises:
        OSError: the user cannot be taken on, or the program cannot be run.
    """
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":  # after setuid, which would undo it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, end_signal)
        if os.getppid() != parent:
            sys.exit(f"process {parent} ended before {command[0]} began")
    os.execv(command[0], command)  # noqa: S606 - a program of ours, without a shell


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])

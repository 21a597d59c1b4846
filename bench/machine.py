"""The machine: what it is, how fast it computes at this moment, and how fast its disk syncs."""

import os
import platform
import subprocess
import time
from pathlib import Path
from statistics import median

YARDSTICK_LOOPS = 400_000
SYNCS = 20
PAGE = b"x" * 8192


def yardstick_ms() -> float:
    """Milliseconds of CPU that a fixed piece of work takes now: tells rounds on a slowed machine from others."""
    began = time.thread_time()
    total = 0
    for number in range(YARDSTICK_LOOPS):
        total += number & 7
    return (time.thread_time() - began) * 1000


def fsync_ms(folder: Path) -> float:
    """Milliseconds until a page that is written is on disk: the least that a commit takes."""
    path = folder / "fsync"
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        times: list[float] = []
        for number in range(SYNCS):
            began = time.perf_counter()
            os.pwrite(handle, PAGE, number * len(PAGE))
            os.fdatasync(handle)
            times.append(time.perf_counter() - began)
        return median(times) * 1000
    finally:
        os.close(handle)
        path.unlink()


def describe(folder: Path) -> dict[str, str]:
    """The machine in words; the data of all servers are in this folder."""
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    told = subprocess.run(["df", "--output=fstype", str(folder)], capture_output=True, text=True, check=False)  # noqa: S607
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "disk": f"{told.stdout.split()[-1] if told.stdout else 'unknown'}, fdatasync {fsync_ms(folder):.2f} ms",
    }

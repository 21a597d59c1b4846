"""Supervised processes: started in order, restarted when they die, ended in reverse order (design section 10)."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from amends.embedded_processes import EmbeddedError

log = logging.getLogger("amends.up")

BACK_OFF_SECONDS = 0.1
BACK_OFF_SECONDS_MAX = 3.0  # a server that is killed time and again is still back within 5 s
STEADY_SECONDS = 2.0
READY_SECONDS = 60.0
LOOK_SECONDS = 0.02


class StartError(Exception):
    """A process does not start; the text says which and where its log is."""


@dataclass(frozen=True)
class ProcessPlan:
    """A process that is to run. `prepare` is called before each start; `ready` is asked until it says yes.

    Without `ready` the process says so itself: it writes a line to the file descriptor in `AMENDS_READY_FD`.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    stop_seconds: float
    prepare: Callable[[], None] | None = None
    ready: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    folder: str | None = None
    changes: dict[str, str] = field(default_factory=dict[str, str])
    """What a later start finds in its environment beside; the first start may teach it (a port)."""


class Supervisor:
    """Keeps processes alive. `changed` is called whenever a process has started."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._running: dict[str, tuple[ProcessPlan, asyncio.subprocess.Process]] = {}
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run, by name."""
        return {name: process.pid for name, (_, process) in self._running.items()}

    async def start(self, plan: ProcessPlan) -> str:
        """Start a process and wait until it is ready; what it said then.

        Raises:
            StartError: it ended, or was not ready within a minute.
        """
        word = await self._launch(plan, READY_SECONDS)
        self._watching[plan.name] = asyncio.create_task(self._watch(plan))
        return word

    async def failed(self) -> None:
        """Wait until watching itself fails: that is a defect, and is raised."""
        done, _ = await asyncio.wait(self._watching.values(), return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def stop(self, names: Sequence[str]) -> None:
        """End these processes, all at once; who does not end in time is killed."""
        self._stopping = True
        ending = [self._running[name] for name in names if name in self._running]
        for name in names:
            if (task := self._watching.pop(name, None)) is not None:
                task.cancel()
        for plan, process in ending:
            _signal(process, plan.stop_signal)
        await asyncio.gather(*(self._ended(plan, process) for plan, process in ending))
        for name in names:
            self._running.pop(name, None)

    async def _ended(self, plan: ProcessPlan, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(plan.stop_seconds):
                await process.wait()
        except TimeoutError:
            log.warning("%s does not end and is killed", plan.name)
            _signal(process, signal.SIGKILL)
            await process.wait()

    async def _watch(self, plan: ProcessPlan) -> None:
        pause = BACK_OFF_SECONDS
        patience = None if plan.ready is not None else READY_SECONDS  # a server that recovers would begin anew for ever
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            code = await self._running[plan.name][1].wait()
            pause = BACK_OFF_SECONDS if loop.time() - began > STEADY_SECONDS else pause
            log.warning("%s ended (%s); it is started again in %.1f s", plan.name, code, pause)
            started = False
            while not started:
                await asyncio.sleep(pause)
                pause = min(pause * 2, BACK_OFF_SECONDS_MAX)
                try:
                    await self._launch(plan, patience)
                    started = True
                except (StartError, EmbeddedError, OSError) as failure:
                    log.warning("%s", failure)

    async def _launch(self, plan: ProcessPlan, seconds_max: float | None) -> str:
        if plan.prepare is not None:
            await _to_its_end(plan.prepare)
        plan.log.parent.mkdir(parents=True, exist_ok=True)
        hears, says = os.pipe()
        environment = {**plan.environment, **plan.changes}
        if plan.ready is None:
            environment["AMENDS_READY_FD"] = str(says)
        with plan.log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *plan.arguments,
                env=environment,
                cwd=plan.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(says,) if plan.ready is None else (),
                start_new_session=True,
            )
        os.close(says)
        self._running[plan.name] = (plan, process)
        try:
            async with asyncio.timeout(seconds_max):
                word = await self._until_ready(plan, process, hears)
        except TimeoutError:
            _signal(process, signal.SIGKILL)
            raise StartError(f"{plan.name} is not ready after {seconds_max:g} s; see {plan.log}") from None
        finally:
            os.close(hears)
        log.info("%s runs as process %d", plan.name, process.pid)
        self._changed()
        return word

    async def _until_ready(self, plan: ProcessPlan, process: asyncio.subprocess.Process, hears: int) -> str:
        os.set_blocking(hears, False)
        heard = b""
        while True:
            if plan.ready is not None and await asyncio.to_thread(plan.ready):
                return "ready"
            with contextlib.suppress(BlockingIOError):
                heard += os.read(hears, 4096)
            if heard.endswith(b"\n"):
                return heard.decode().strip()
            if process.returncode is not None:
                raise StartError(f"{plan.name} ended ({process.returncode}) before it was ready:\n{tail(plan.log)}")
            await asyncio.sleep(LOOK_SECONDS)


def tail(path: Path, lines: int = 8) -> str:
    """The last lines of a log."""
    return "\n".join(f"  {line}" for line in path.read_text("utf-8", "replace").splitlines()[-lines:])


async def _to_its_end(prepare: Callable[[], None]) -> None:
    """Call it in a thread; who is cancelled meanwhile waits all the same, since nothing ends a thread."""
    calling = asyncio.create_task(asyncio.to_thread(prepare))
    try:
        await asyncio.shield(calling)
    finally:
        await asyncio.wait([calling])


def _signal(process: asyncio.subprocess.Process, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(which)

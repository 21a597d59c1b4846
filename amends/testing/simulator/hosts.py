"""Hosts: processes on one virtual clock, each of which may stand still, or be gone between two instructions.

A host that is killed is never stepped again: no `finally` runs in it, as after SIGKILL. One that is paused goes on later
where it stood. Whatever the seed, the same seed gives the same order: what is ready runs first come, first served, and
time passes only when nothing is ready.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any

STEPS_MAX = 3_000_000
CLOSINGS_MAX = 20


class StalledError(Exception):
    """Everything waits and nothing is due, or the loop spins without end."""


class Host:
    """One process. `rng` is its own, so that a fault elsewhere changes nothing that it draws."""

    def __init__(self, name: str, rng: Random, loop: "SimulatedLoop") -> None:
        self.name = name
        self.rng = rng
        self.alive = True
        self.stopped = False
        self.on_death: list[Callable[[], object]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._loop = loop
        self._kept: list[asyncio.Handle] = []

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin work in this process."""
        context = copy_context()
        context.run(HOST.set, self)
        task = self._loop.create_task(work, context=context)
        self.tasks.append(task)
        return task

    def kill(self) -> None:
        """It never runs another instruction."""
        if self.alive:
            self.alive, self.stopped = False, True
            for call in self.on_death:
                call()

    def pause(self) -> None:
        """It stands still, as after SIGSTOP."""
        self.stopped = True

    def resume(self) -> None:
        """It goes on where it stood."""
        if self.alive and self.stopped:
            self.stopped = False
            kept, self._kept = self._kept, []
            self._loop.again(kept)

    def keep(self, handle: asyncio.Handle) -> None:
        """What would run now, were it not standing still; of a dead one it is kept so that nothing ends by itself."""
        self._kept.append(handle)


HOST: ContextVar[Host | None] = ContextVar("host", default=None)
NOWHERE = Context()
"""Where the network and the servers run: in no host."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """A loop on virtual time for all hosts. It has no sockets, no threads and no files."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self.set_exception_handler(self._crashed)
        self.crashes: list[BaseException | str] = []

    def time(self) -> float:
        """Seconds of virtual time."""
        return self.now

    def again(self, handles: list[asyncio.Handle]) -> None:
        """Run these after what is ready."""
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def later(self, seconds: float, call: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """Call something that happens in no host."""
        return self.call_at(self.now + seconds, call, *arguments, context=NOWHERE)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """There are no threads here."""
        raise NotImplementedError("a simulated host has no threads")

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise StalledError("everything waits for something that nobody will do")
            self.now = max(self.now, scheduled[0]._when)
            while scheduled and scheduled[0]._when <= self.now:
                handle = heapq.heappop(scheduled)
                handle._scheduled = False
                ready.append(handle)
        self.steps += len(ready)
        if self.steps > STEPS_MAX:
            raise StalledError(f"{STEPS_MAX:,} steps, and no end")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            host = handle._context.get(HOST)
            if host is not None and host.stopped:
                host.keep(handle)
            else:
                handle._run()

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def _crashed(self, loop: Any, context: dict[str, Any]) -> None:
        """A task ended by an exception that nobody took: a bug, which ends the run."""
        self.crashes.append(context.get("exception") or str(context.get("message")))


def close_all(loop: SimulatedLoop) -> None:
    """Close what the hosts left behind, once everything is checked: their `finally` blocks run into dead ports."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        work = task.get_coro()
        for _ in range(CLOSINGS_MAX):
            try:
                work.close()  # type: ignore[union-attr]
                break
            except BaseException:  # noqa: BLE001 - whatever a dead process would have said, nobody hears it
                continue

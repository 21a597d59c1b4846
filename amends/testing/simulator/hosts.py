"""Hosts: processes on one virtual clock, each of which may stand still, or be gone between two instructions.

A host that is killed is never stepped again: no `finally` runs in it, as after SIGKILL. One that is paused goes on
later where it stood. The same seed gives the same order: what is ready runs first come, first served, and time passes
only when nothing is ready.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
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
        self.stood = False
        """Whether it ever stood still."""
        self.missed = 0
        """How much it would have done meanwhile."""
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
        self.stopped = self.stood = True

    def resume(self) -> None:
        """It goes on where it stood."""
        if self.alive and self.stopped:
            self.stopped = False
            kept, self._kept = self._kept, []
            self._loop.again(kept)

    def keep(self, handle: asyncio.Handle) -> None:
        """What would run now, were it not standing still; of a dead one it is kept so that nothing ends by itself."""
        self.missed += 1
        self._kept.append(handle)


HOST: ContextVar[Host | None] = ContextVar("host", default=None)
NOWHERE = Context()
"""Where the network and the servers run: in no host."""


class Timer:
    """Something that happens in no host, unless it is cancelled."""

    __slots__ = ("arguments", "call", "cancelled")

    def __init__(self, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.call = call
        self.arguments = arguments
        self.cancelled = False

    def cancel(self) -> None:
        """It does not happen."""
        self.cancelled = True


class SimulatedLoop(asyncio.BaseEventLoop):
    """A loop on virtual time for all hosts. It has no sockets, no threads and no files."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self.set_exception_handler(self._crashed)
        self.crashes: list[BaseException | str] = []
        self._ready: deque[asyncio.Handle]
        self._timers: list[tuple[float, int, asyncio.TimerHandle | Timer]] = []
        self._number = 0

    def time(self) -> float:
        """Seconds of virtual time."""
        return self.now

    def again(self, handles: list[asyncio.Handle]) -> None:
        """Run these after what is ready."""
        self._ready.extend(handles)

    def later(self, seconds: float, call: Callable[..., object], *arguments: Any) -> Timer:
        """Call something that happens in no host."""
        timer = Timer(call, arguments)
        self._number += 1
        heapq.heappush(self._timers, (self.now + seconds, self._number, timer))
        return timer

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call at an instant of virtual time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call after so many seconds of virtual time."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call next, after what is ready."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """There are no threads here."""
        raise NotImplementedError("a simulated host has no threads")

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready:
            if not timers:
                raise StalledError("everything waits for something that nobody will do")
            when, _, timer = heapq.heappop(timers)
            if timer.cancelled if isinstance(timer, Timer) else timer._cancelled:
                return
            if when > self.now:
                self.now = when
            self.steps += 1
            if isinstance(timer, Timer):
                timer.call(*timer.arguments)
                return
            ready.append(timer)
        self.steps += len(ready)
        if self.steps > STEPS_MAX:
            raise StalledError(f"{STEPS_MAX:,} steps, and no end")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            host = handle._context.get(HOST)  # type: ignore[attr-defined]
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


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that waits for nothing, as the store in memory."""
    try:
        work.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    raise RuntimeError("it waits for something")


def close_all(loop: SimulatedLoop) -> None:
    """Close what the hosts left behind, once everything is checked: their `finally` blocks run into dead ports."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        work = task.get_coro()
        for _ in range(CLOSINGS_MAX):
            with suppress(BaseException):  # whatever a dead process would have said, nobody hears it
                work.close()
                break

"""An event loop whose time passes only when nothing else is left to do: a saga of days runs in milliseconds."""

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from selectors import SelectorKey
from typing import Any, TypeVar, TypeVarTuple, Unpack

from consumers.pulse import Pulse

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREAD_SECONDS_MAX = 60.0
IN_HANDLER: ContextVar[bool] = ContextVar("in_handler", default=False)
"""Set while a user's function runs: its timers count, those of the machinery only look for what is due."""


class StalledError(Exception):
    """Everything waits, and nothing is due: nothing can ever happen any more."""


class _VirtualSelector(selectors.BaseSelector):
    """Never waits, but for threads: what it would have waited it adds to the loop's time."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0
        self.threads = 0
        self.quiet_until: Callable[[], float] = lambda: 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> SelectorKey:
        return self._real.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._real.select(0)
        if self.threads:  # time stands still while one works
            if not (ready := self._real.select(THREAD_SECONDS_MAX)):
                raise StalledError(f"a thread does not end within {THREAD_SECONDS_MAX:g} s")
            return ready
        if timeout is None:
            raise StalledError("every task waits for something that nobody will do")
        self.now = max(self.now + timeout, self.quiet_until())
        return self._real.select(0)

    def get_map(self) -> Mapping[Any, SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time, which stands still while a thread works."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        self._of_handlers: list[asyncio.TimerHandle] = []
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._virtual.now

    def skip(self, quiet_until: Callable[[], float]) -> None:
        """Let the time up to what `quiet_until` says pass at once whenever everything waits."""
        self._virtual.quiet_until = quiet_until

    def timers_of_handlers(self) -> list[float]:
        """When timers end that users' functions wait for."""
        self._of_handlers = [one for one in self._of_handlers if not one.cancelled() and one.when() > self.time()]
        return [one.when() for one in self._of_handlers]

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call at an instant of virtual time; the end of a handler's silence counts like its own timers."""
        handle = super().call_at(when, callback, *args, context=context)
        if IN_HANDLER.get() or isinstance(getattr(callback, "__self__", None), Pulse):
            self._of_handlers.append(handle)
        return handle

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run in a thread."""
        future = super().run_in_executor(executor, func, *args)
        self._virtual.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads, in real time."""
        self._virtual.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._virtual.threads -= 1

    def _thread_ended(self, _: object) -> None:
        self._virtual.threads -= 1


def run_virtual(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on virtual time; in a thread of its own when the caller has a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(work)
    answers: list[T] = []
    errors: list[BaseException] = []

    def beside() -> None:
        try:
            answers.append(_run(work))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=beside, name="virtual-time")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())

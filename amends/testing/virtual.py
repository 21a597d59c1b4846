"""An event loop whose time passes only when nothing else is left to do: a saga of days runs in milliseconds."""

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine, Mapping
from selectors import SelectorKey
from typing import Any, TypeVar

T = TypeVar("T")


class StalledError(Exception):
    """Everything waits, and nothing is due: nothing can ever happen any more."""


class _VirtualSelector(selectors.BaseSelector):
    """Never waits: what it would have waited it adds to the loop's time."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> SelectorKey:
        return self._real.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None:
            raise StalledError("every task waits for something that nobody will do")
        if timeout > 0:
            self.now += timeout
        return self._real.select(0)

    def get_map(self) -> Mapping[Any, SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time. Threads are not known to it: plain handlers run in place."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._virtual.now


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

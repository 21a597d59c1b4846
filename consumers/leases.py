"""Leases: a thread with a connection of its own renews what runs, even while a handler blocks the loop (rule L1)."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence

log = logging.getLogger("amends.leases")

RENEW_SECONDS = 1.0
RETRY_SECONDS = 0.25
Renew = Callable[[Sequence[str]], Sequence[str]]


class ThreadedKeeper:
    """Calls `renew(entries)` once a second, in a thread; what it does not give back is lost (rule L3).

    `renew` raises OSError when there is no answer: then nothing is known, and it is asked again.
    """

    def __init__(self, renew: Renew, lost: Callable[[str], None], end: Callable[[], None]) -> None:
        self._renew = renew
        self._lost = lost
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._wake = threading.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._thread = threading.Thread(target=self._run, name="amends-leases", daemon=True)
        self._thread.start()

    def hold(self, entry: str) -> None:
        """Renew this entry from now on."""
        with self._lock:
            self._held.add(entry)

    def release(self, entry: str) -> None:
        """Stop renewing it."""
        with self._lock:
            self._held.discard(entry)

    async def renew(self) -> None:
        """Renew at once, and wait for that, at most a second (rule L4)."""
        renewed: asyncio.Future[None] = self._loop.create_future()
        with self._lock:
            self._waiting.append(renewed)
        self._wake.set()
        await asyncio.wait([renewed], timeout=RENEW_SECONDS)

    def close(self) -> None:
        """Stop renewing anything."""
        self._closed = True
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        pause = RENEW_SECONDS
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            if self._closed:
                break
            with self._lock:
                held = sorted(self._held)
                waiting, self._waiting = self._waiting, []
            pause = RENEW_SECONDS if self._renew_all(held) else RETRY_SECONDS
            for renewed in waiting:
                self._loop.call_soon_threadsafe(_done, renewed)
        self._end()

    def _renew_all(self, held: list[str]) -> bool:
        """Whether there was an answer."""
        if not held:
            return True
        try:
            kept = set(self._renew(held))
        except OSError as loss:
            log.warning("cannot renew %d leases: %s", len(held), loss)
            return False
        for entry in held:
            if entry not in kept and entry in self._held:
                self.release(entry)
                self._loop.call_soon_threadsafe(self._lost, entry)
        return True


def _done(renewed: "asyncio.Future[None]") -> None:
    if not renewed.done():
        renewed.set_result(None)

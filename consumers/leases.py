"""Leases: a thread with a connection of its own renews what runs, even while a handler blocks the loop (rule L1)."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence

log = logging.getLogger("amends.leases")

RENEW_SECONDS = 1.0
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
        self._closed = threading.Event()
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

    def close(self) -> None:
        """Stop renewing anything."""
        self._closed.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._closed.wait(RENEW_SECONDS):
            with self._lock:
                held = sorted(self._held)
            if not held:
                continue
            try:
                kept = set(self._renew(held))
            except OSError as loss:
                log.warning("cannot renew %d leases: %s", len(held), loss)
                continue
            for entry in held:
                if entry not in kept and entry in self._held:
                    self.release(entry)
                    self._loop.call_soon_threadsafe(self._lost, entry)
        self._end()

"""Contexts of handlers that run: each is told when its saga turns back, and says how far it is (def_R12)."""

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

from consumers.execution import context_of
from consumers.pulse import Pulse
from sagas.binding import BoundHandler
from sagas.context import Context
from sagas.inputs import Progressed
from sagas.ports import Command, Store, StoreUnavailable

log = logging.getLogger("amends.worker")

LOOK_SECONDS = 1.0
PROGRESS_SECONDS = 5.0
MESSAGE_CHARACTERS_MAX = 500


class Attempts:
    """The attempts under way whose handlers take a `Context`; `report` is given what they say of their progress."""

    def __init__(self, store: Store, report: Callable[[Progressed], None], worker: str | None) -> None:
        self._store = store
        self._report = report
        self._worker = worker
        self._contexts: set[Context] = set()
        self._some = asyncio.Event()

    @contextmanager
    def under_way(self, command: Command, bound: BoundHandler | None, pulse: Pulse) -> Generator[Context | None]:
        """The context of an execution while it runs, whose signs of life `pulse` gets; None where it takes none."""
        if bound is None or all(parameter.source != "context" for parameter in bound.parameters):
            yield None
            return
        progress = _Progress(command, self._report, self._worker, pulse)
        context = context_of(command, progress)
        self._contexts.add(context)
        self._some.set()
        try:
            yield context
        finally:
            progress.end()
            self._contexts.discard(context)
            if not self._contexts:
                self._some.clear()

    async def run(self) -> None:
        """Look once a second while something runs."""
        while True:
            await self._some.wait()
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except StoreUnavailable as loss:
                log.warning("cannot see whether sagas turn back: %s", loss)

    async def _look(self) -> None:
        """Ask, in one query, which of their sagas turn back."""
        forward = [context for context in self._contexts if not context.turning_back]
        if not forward:
            return
        heads = await self._store.heads(sorted({context.saga_id for context in forward}))
        for context in forward:
            head = heads.get(context.saga_id)
            context.turning_back = head is not None and head.status not in ("active", "completed")


class _Progress:
    """What one attempt says of its progress: the newest word of it, one in 5 s, until the attempt is over."""

    def __init__(
        self, command: Command, report: Callable[[Progressed], None], worker: str | None, pulse: Pulse
    ) -> None:
        self._command = command
        self._pulse = pulse
        self._report = report
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._newest: tuple[int, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0
        self._over = False

    def progress(self, percent: int, message: str) -> None:
        """Take note; a thread may say it too. Who says how far it is, is alive."""
        self._pulse.beat()
        if not self._over:
            self._loop.call_soon_threadsafe(self._note, percent, message)

    def heartbeat(self) -> None:
        """Take note, in this process alone."""
        self._pulse.beat()

    def end(self) -> None:
        """The attempt is over: its outcome says more."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _note(self, percent: int, message: str) -> None:
        self._newest = (percent, message)
        if self._timer is None and not self._over:
            self._say()

    def _say(self) -> None:
        self._timer = None
        if self._newest is None:
            return
        (percent, message), self._newest = self._newest, None
        text = message.replace("\x00", "").encode("utf-8", "replace").decode()[:MESSAGE_CHARACTERS_MAX]
        self._count += 1
        command = self._command
        self._report(
            Progressed(
                command.saga_id, command.opened_by, command.attempt, command.step, command.item, self._count,
                int(percent), text, self._worker, command.trace,
            )
        )  # fmt: skip
        self._timer = self._loop.call_later(PROGRESS_SECONDS, self._say)

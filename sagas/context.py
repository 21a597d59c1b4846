"""What a handler may take besides data: `Context` (about this call) and `Transaction` (Amends' own database)."""

from collections.abc import Awaitable, Generator, Sequence
from typing import Any, Protocol


class Reporter(Protocol):
    """Where progress and heartbeats go; the worker has one for each attempt. A thread may call it."""

    def progress(self, percent: int, message: str) -> None:
        """Take note of how far the handler is."""
        ...

    def heartbeat(self) -> None:
        """Take note that the handler is alive."""
        ...


class _Nobody:
    def progress(self, percent: int, message: str) -> None:
        """Outside a worker nobody listens."""

    def heartbeat(self) -> None:
        """Outside a worker nobody listens."""


class _Said:
    """It is said already: to await it does nothing more, and not to await it, as a plain `def` must, loses nothing."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


class Context:
    """About this call of a handler.

    `idempotency_key` is the key of this call, `step_key` that of the step everywhere, also in its undo (def_R13).
    `turning_back` becomes true while the handler runs, within about a second, when the saga turns back (def_R12);
    `cause` says why a fallback runs (def_R18); `item` is the index under `each`. Tests make one with the five first
    names alone.
    """

    def __init__(
        self,
        *,
        saga_id: str,
        step: str,
        attempt: int,
        idempotency_key: str,
        step_key: str,
        item: int | None = None,
        cause: str | None = None,
        turning_back: bool = False,
        reporter: Reporter | None = None,
    ) -> None:
        self.saga_id = saga_id
        self.step = step
        self.attempt = attempt
        self.idempotency_key = idempotency_key
        self.step_key = step_key
        self.item = item
        self.cause = cause
        self.turning_back = turning_back
        self._reporter: Reporter = reporter or _Nobody()

    def progress(self, percent: int, message: str = "") -> Awaitable[None]:
        """Say how far the handler is, 0 to 100; of all that is said one event is kept every 5 s.

        An `async def` awaits it, a plain `def` just calls it.

        That is the newest; what is said last before the attempt ends may not be kept. It never decides anything.

        Raises:
            ValueError: `percent` is not within 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"progress({percent}): 0 to 100 is needed")
        self._reporter.progress(percent, message)
        return _Said()

    def heartbeat(self) -> Awaitable[None]:
        """Say that the handler is alive; `progress` says it too. An `async def` awaits it, a plain `def` just calls it.

        A handler of a step with `heartbeat_timeout` that is silent for so long is cancelled, and nobody knows what it
        did. It costs nothing but a look at the clock: neither server hears of it.
        """
        self._reporter.heartbeat()
        return _Said()


class Transaction(Protocol):
    """A transaction in Amends' own database; what it writes commits together with the step's result (def_R21)."""

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement; gives its status, such as `UPDATE 1`."""
        ...

    async def fetch(self, query: str, *args: object) -> list[dict[str, Any]]:
        """Run a query; gives its rows."""
        ...

    async def fetchrow(self, query: str, *args: object) -> dict[str, Any] | None:
        """Run a query; gives its first row, or None."""
        ...

    async def fetchval(self, query: str, *args: object) -> Any:
        """Run a query; gives the first column of its first row, or None."""
        ...

    async def executemany(self, query: str, args: Sequence[Sequence[object]]) -> None:
        """Run a statement once for each row of arguments."""
        ...

    @property
    def connection(self) -> Any:
        """The asyncpg connection that the transaction is open on."""
        ...

    async def session(self) -> Any:
        """A SQLAlchemy `AsyncSession` on the same connection (needs the extra `sqlalchemy`).

        Its transaction is a savepoint in this one. What is pending when the handler returns is committed with it.
        """
        ...

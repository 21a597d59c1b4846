"""SQLAlchemy sessions inside a transaction step: on its connection, and within its transaction (def_R21).

The only module that knows SQLAlchemy, which is an extra. A session's own transaction is a savepoint: what it commits
commits with the step, and what it rolls back leaves the step's other writes alone.
"""

from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

_lent: ContextVar[Any] = ContextVar("lent")


class Lent:
    """A connection as SQLAlchemy gets it: it can neither close it nor change how its values are read.

    Its codecs would stay on the connection, and be in force for steps that never asked for a session.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        """Whatever the connection has."""
        return getattr(self._connection, name)

    async def set_type_codec(self, *_: object, **__: object) -> None:
        """Leave the codecs alone: JSON is read by SQLAlchemy's types in their place."""

    async def close(self, **_: object) -> None:
        """Leave the connection open: it is not SQLAlchemy's."""

    def terminate(self) -> None:
        """Leave the connection open: it is not SQLAlchemy's."""


@cache
def engine() -> "AsyncEngine":
    """One engine a process, for what SQLAlchemy keeps of statements and of the server; it holds no connection.

    Raises:
        ImportError: SQLAlchemy is not installed.
    """
    try:
        import_module("greenlet")  # without it SQLAlchemy fails late, and in other words
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool
    except ImportError as missing:
        raise ImportError(
            "transaction.session() needs SQLAlchemy\n  remedy: pip install 'amends[sqlalchemy]' where workers run"
        ) from missing

    async def lend() -> Any:
        return _lent.get()

    made = create_async_engine("postgresql+asyncpg://", async_creator=lend, poolclass=NullPool)
    made.dialect.supports_native_json_deserialization = False
    return made


async def open_session(connection: Any) -> "AsyncSession":
    """A session on an asyncpg connection that has a transaction open.

    Raises:
        ImportError: SQLAlchemy is not installed.
    """
    shared = engine()
    from sqlalchemy.ext.asyncio import AsyncSession

    token = _lent.set(Lent(connection))
    try:
        bound = await shared.connect()
    finally:
        _lent.reset(token)
    return AsyncSession(bind=bound, expire_on_commit=False)


async def close_session(session: "AsyncSession", *, commit: bool) -> None:
    """Write what is pending, unless the step failed, and give the connection back.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: what is pending cannot be written.
    """
    bound: Any = session.bind
    try:
        if commit:
            await session.commit()
    finally:
        await session.close()
        await bound.close()

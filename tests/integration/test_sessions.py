"""SQLAlchemy sessions in transaction steps: within the step's transaction, never beside it (def_R21)."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from sqlalchemy import JSON, Identity, String, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from amends import Permanent
from consumers import sessions
from consumers.effects import PostgresTransactions
from eventstore.postgres import PostgresStore
from tests.conformance.transports import COMMAND

STEP = replace(COMMAND, saga_id="01900000-0000-7000-8000-00000000000b")
UNDO = replace(STEP, role="undo", attempt=2)
Handler = Callable[..., Coroutine[Any, Any, Any]]


class Base(DeclarativeBase):
    """The tables of these tests."""


class Line(Base):
    __tablename__ = "ledger"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    line: Mapped[str] = mapped_column(String, unique=True)
    notes: Mapped[dict[str, Any] | None] = mapped_column(JSON)


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[PostgresStore]:
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        "CREATE TABLE public.ledger (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, line text UNIQUE, notes jsonb)"
    )
    await owner.close()
    opened = await PostgresStore.open(database_url, pool_size=1)
    yield opened
    await opened.close()


@pytest.fixture
def transactions(store: PostgresStore) -> PostgresTransactions:
    return PostgresTransactions(store.pool)


async def lines(store: PostgresStore) -> list[str]:
    return [row["line"] for row in await store.pool.fetch("SELECT line FROM ledger ORDER BY id")]


async def test_what_a_session_commits_commits_with_the_step(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    async def call(transaction: Any) -> Any:
        session = await transaction.session()
        assert await transaction.session() is session
        session.add(Line(line="one", notes={"a": [1]}))
        await session.commit()
        await transaction.execute("INSERT INTO ledger (line) VALUES ('two')")
        found = (await session.scalars(select(Line).order_by(Line.id))).all()
        session.add(Line(line="pending"))
        return [(line.line, line.notes) for line in found]

    assert (await transactions.run(STEP, call)).result == [("one", {"a": [1]}), ("two", None)]
    assert await lines(store) == ["one", "two", "pending"]
    assert await store.pool.fetchval("SELECT notes FROM ledger WHERE line = 'one'") == '{"a": [1]}', (
        "codecs are as before"
    )


@pytest.mark.parametrize("error", [Permanent("no"), asyncio.CancelledError()])
async def test_a_step_that_fails_keeps_nothing_of_what_its_session_committed(
    store: PostgresStore, transactions: PostgresTransactions, error: BaseException
) -> None:
    async def call(transaction: Any) -> Any:
        session = await transaction.session()
        session.add(Line(line="one"))
        await session.commit()
        session.add(Line(line="two"))
        await session.flush()
        raise error

    with pytest.raises(type(error)):
        await transactions.run(STEP, call)
    assert await lines(store) == []


async def test_a_session_that_rolls_back_leaves_the_rest_of_the_step(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    async def call(transaction: Any) -> Any:
        await transaction.execute("INSERT INTO ledger (line) VALUES ('kept')")
        session = await transaction.session()
        session.add(Line(line="kept"))
        with pytest.raises(IntegrityError):
            await session.commit()
        await session.rollback()
        session.add(Line(line="dropped"))
        await session.flush()
        await session.rollback()
        async with session.begin():
            session.add(Line(line="after"))

    await transactions.run(STEP, call)
    assert await lines(store) == ["kept", "after"]


async def test_what_is_pending_and_cannot_be_written_fails_the_step(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    async def call(transaction: Any) -> Any:
        await transaction.execute("INSERT INTO ledger (line) VALUES ('once')")
        (await transaction.session()).add(Line(line="once"))

    with pytest.raises(IntegrityError):
        await transactions.run(STEP, call)
    assert await lines(store) == []


async def test_an_undo_has_sessions_too_and_the_connection_serves_on(
    store: PostgresStore, transactions: PostgresTransactions
) -> None:
    async def write(transaction: Any) -> Any:
        (await transaction.session()).add(Line(line="one"))
        return 1

    async def erase(transaction: Any, result: Any) -> None:
        await (await transaction.session()).execute(text("DELETE FROM ledger"))

    await transactions.run(STEP, write)
    assert await lines(store) == ["one"]
    await transactions.undo(UNDO, erase)
    assert await lines(store) == []
    for number in range(20):  # the pool has one connection
        await transactions.run(replace(STEP, saga_id=f"{STEP.saga_id[:-2]}{number:02}"), writing(str(number)))
    assert len(await lines(store)) == 20


def writing(line: str) -> Handler:
    async def call(transaction: Any) -> Any:
        (await transaction.session()).add(Line(line=line))

    return call


async def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions.engine.cache_clear()
    monkeypatch.setitem(sys.modules, "sqlalchemy.ext.asyncio", None)
    with pytest.raises(ImportError, match=r"pip install 'amends\[sqlalchemy\]'"):
        await sessions.open_session(None)

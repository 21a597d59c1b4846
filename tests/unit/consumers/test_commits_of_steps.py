"""The commit of a transaction step: whoever gives it up, nobody says that it was rolled back while it may go in."""

import asyncio

import pytest

from amends.clock import LoopClock
from amends.testing.virtual import run_virtual
from consumers.effects import TRANSACTION_SECONDS_MAX, _commit  # pyright: ignore[reportPrivateUsage]
from sagas.ports import CommitUnknown


class Transaction:
    def __init__(self, seconds: float, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.error = error
        self.committed = False

    async def commit(self) -> None:
        """Commit, slowly."""
        await LoopClock().sleep(self.seconds)
        if self.error is not None:
            raise self.error
        self.committed = True


async def given_up_twice(transaction: Transaction) -> asyncio.Task[None]:
    task = asyncio.create_task(_commit(transaction))
    await LoopClock().sleep(1)
    task.cancel()
    await LoopClock().sleep(1)
    task.cancel()
    await asyncio.wait([task])
    return task


def test_a_commit_that_two_limits_give_up_is_waited_for() -> None:
    """rule_T1: it was said to be rolled back, and went in."""

    async def go() -> None:
        transaction = Transaction(5)
        task = await given_up_twice(transaction)
        assert (task.cancelled(), task.exception(), transaction.committed) == (False, None, True)

    run_virtual(go)


@pytest.mark.parametrize("seconds", [TRANSACTION_SECONDS_MAX + 5, 10_000.0])
def test_of_a_commit_that_does_not_answer_nobody_knows(seconds: float) -> None:
    """rule_O2: and the worker's place is not taken for ever."""

    async def go() -> None:
        task = await given_up_twice(Transaction(seconds))
        assert isinstance(task.exception(), CommitUnknown)

    run_virtual(go)


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), OSError("away")])
def test_of_a_commit_whose_connection_breaks_nobody_knows(error: Exception) -> None:
    async def go() -> None:
        for task in (asyncio.create_task(_commit(Transaction(1, error))), await given_up_twice(Transaction(5, error))):
            await asyncio.wait([task])
            assert isinstance(task.exception(), CommitUnknown)

    run_virtual(go)


def test_an_error_of_the_commit_itself_is_told_as_it_is() -> None:
    async def go() -> None:
        task = await given_up_twice(Transaction(5, ValueError("deferred constraint")))
        assert isinstance(task.exception(), ValueError)

    run_virtual(go)

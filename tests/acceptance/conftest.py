"""Two running Amends that tests share: starting and ending one takes longer than most of what they look at."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from tests.acceptance.running import Running, running

BROKEN = {
    "AMENDS_DEVELOPMENT": "1",
    "AMENDS_FAULTS": "approval.assignment=fail,analysis.begin=fail",
    "QUEUE_MAX_RETRIES": "0",
    "AMENDS_STEP_TIMEOUT": "1",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def made() -> AsyncGenerator[Running]:
    """One in which all works: a test leaves it as it was, but for sagas that have ended."""
    async with running() as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def broken() -> AsyncGenerator[Running]:
    """One in which no approval can assign its tasks, and no analysis can begin."""
    async with running(environment=BROKEN) as started:
        yield started

"""The running Amends that tests share: starting and ending one takes longer than most of what they look at."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from tests.acceptance import crowds, errands, moving, silences
from tests.acceptance.damage import folder_of
from tests.acceptance.running import Running, running
from tests.acceptance.stage import Stage

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


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def stage() -> AsyncGenerator[Stage]:
    """One with sagas from a file outside this repository, which use the whole language."""
    with folder_of("amends-language-") as folder:
        (folder / "moving.py").write_text(moving.MODULE + crowds.MODULE + errands.MODULE + silences.MODULE)
        async with Running(Path(folder), sagas="moving") as made:
            yield Stage(made)
            made.check_invariants()

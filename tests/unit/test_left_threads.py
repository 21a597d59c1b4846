"""Threads that go on after their call was given up (rule L3)."""

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.execution import Surroundings
from consumers.inprocess import Broker, InProcessTransport
from consumers.worker import Worker
from eventstore.memory import MemoryStore
from tests.conformance.transports import COMMAND


@pytest.mark.parametrize(("role", "transactional"), [("probe", False), ("step", True)])
async def test_what_nobody_waits_for_is_no_error_of_its_own(role: str, transactional: bool) -> None:
    """A probe that was given up, or a transaction that was rolled back, ends by an exception."""
    loop = asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    nothing: Any = None
    worker: Any = Worker(InProcessTransport(Broker(), "w"), MemoryStore(loop.time), {}, Surroundings(), nothing)
    thread: asyncio.Future[Any] = loop.create_future()
    worker._left_running(COMMAND, SimpleNamespace(role=role, transactional=transactional), thread)
    thread.set_exception(ConnectionResetError("at last"))
    await asyncio.wait([thread])
    del thread
    gc.collect()
    assert not told
    assert worker._reports._to_apply.empty()

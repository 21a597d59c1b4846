"""Starts sagas of Amends and sees them end: in this process with an engine of its own, or through the HTTP API."""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from amends import loops
from amends.client import Client
from amends.identifiers import new_id
from amends.settings import load
from amends.wiring import Core, core
from bench import sagas
from bench.programs.closed_loop import ClosedLoop, text
from orchestrator.commits import Commits
from orchestrator.publisher import beside
from sagas.inputs import Start

ENDED = """
SELECT upto::text, ARRAY(
    SELECT workflow_id::text || ' ' || event_type FROM amends.workflow_events
    WHERE epoch = (SELECT epoch FROM amends.cluster) AND transaction_id >= $1::text::xid8 AND transaction_id < upto
        AND event_type IN ('SagaCompleted', 'SagaCompensated', 'SagaFailed')
) AS ended FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS upto) AS snapshot
"""
"""Rule A12: what older transactions may still commit is looked at next time, and nothing twice."""
LOOK_SECONDS, LOOK_SECONDS_MAX = 0.001, 0.01
"""How long between two looks: with one saga in flight, and with 40 or more."""


class Watcher:
    """Tells which sagas have ended, by reading the feed of events, as whoever keeps a projection does."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._open: dict[str, asyncio.Future[str]] = {}
        self._early: dict[str, str] = {}
        self._some = asyncio.Event()
        self._after = "0"

    async def end_of(self, saga_id: str) -> str:
        """By which event this saga ended, once it has."""
        if (ending := self._early.pop(saga_id, None)) is not None:
            return ending
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._open[saga_id] = ended
        self._some.set()
        return await ended

    async def run(self) -> None:
        """Look until it is cancelled."""
        self._after = await self._pool.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
        while True:
            await self._some.wait()
            await self._look()
            if not self._open:
                self._some.clear()
                continue
            pause = len(self._open) * LOOK_SECONDS_MAX / 40
            await asyncio.sleep(min(max(LOOK_SECONDS, pause), LOOK_SECONDS_MAX))

    async def _look(self) -> None:
        row = await self._pool.fetchrow(ENDED, self._after)
        assert row is not None
        self._after = row["upto"]
        for told in row["ended"]:
            saga_id, ending = told.split(" ")
            if (ended := self._open.pop(saga_id, None)) is not None:
                ended.set_result(ending)
            else:
                self._early[saga_id] = ending  # it was quicker than the answer to its start


Starting = Callable[[dict[str, Any]], Awaitable[str]]


async def drive(made: Core, start: Starting, asked: argparse.Namespace) -> None:
    """Run the clients; `start` starts a saga with an input and returns its id."""
    watcher, workload = Watcher(made.store.asking), sagas.WORKLOADS[asked.workload]

    async def once() -> tuple[float | None, bool]:
        saga_id = await start(workload.input(text(asked.payload)))
        accepted = time.perf_counter()
        return accepted, await watcher.end_of(saga_id) == workload.ending

    async with beside(watcher.run()):
        await ClosedLoop(asked.window, asked.warm).run(once)


async def within(made: Core, asked: argparse.Namespace) -> None:
    """Start sagas by an engine in this process, as an application does that has one."""
    sealed = made.sagas[sagas.WORKLOADS[asked.workload].saga.name]
    commits = Commits(made.engine)

    async def start(given: dict[str, Any]) -> str:
        word = Start(new_id(), sealed.manifest, sealed.normalise(given))
        await commits.apply([word])
        return word.saga_id

    async with made.publisher.running():
        await drive(made, start, asked)
        await commits.close()


async def through_the_api(made: Core, asked: argparse.Namespace) -> None:
    """Start sagas over HTTP, by the client of the product."""
    saga = sagas.WORKLOADS[asked.workload].saga
    async with Client(asked.api) as client:

        async def start(given: dict[str, Any]) -> str:
            return (await client.start(saga, given)).id

        await drive(made, start, asked)


async def main() -> None:
    """Measure, as the harness says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", choices=sagas.WORKLOADS, required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--warm", type=float, required=True)
    parser.add_argument("--payload", type=int, required=True)
    parser.add_argument("--api")
    asked = parser.parse_args()
    async with core(load(), "api") as made:
        await (through_the_api(made, asked) if asked.api else within(made, asked))


if __name__ == "__main__":
    loops.run(main())

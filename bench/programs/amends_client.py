"""Starts sagas of Amends and sees them end: in this process with an engine of its own, or through the HTTP API."""

import argparse
import asyncio
import time
from collections import deque
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
SELECT saga_id::text, status FROM amends.sagas
WHERE saga_id = ANY($1::uuid[]) AND status IN ('completed', 'compensated', 'failed')
"""
LOOK_SECONDS, LOOK_SECONDS_MAX = 0.001, 0.01
"""How long between two looks at the sagas in flight: one, and from 400 on."""
EARLIEST, LATELY = 0.7, 50


class Watcher:
    """Tells which sagas have ended, by one query for all that may have.

    A saga is not looked at before it has lived most of what the quickest of late has.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._open: dict[str, tuple[float, asyncio.Future[str]]] = {}
        self._some = asyncio.Event()
        self._lives: deque[float] = deque([0.0], maxlen=LATELY)

    async def end_of(self, saga_id: str) -> str:
        """How this saga ended, once it has."""
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._open[saga_id] = (time.perf_counter(), ended)
        self._some.set()
        return await ended

    async def run(self) -> None:
        """Look until it is cancelled."""
        while True:
            await self._some.wait()
            await self._look()
            if not self._open:
                self._some.clear()
                continue
            first = next(iter(self._open.values()))[0] + EARLIEST * min(self._lives) - time.perf_counter()
            pause = min(max(LOOK_SECONDS, len(self._open) * LOOK_SECONDS_MAX / 400), LOOK_SECONDS_MAX)
            await asyncio.sleep(max(first, pause))

    async def _look(self) -> None:
        before = time.perf_counter() - EARLIEST * min(self._lives)
        ripe = [saga_id for saga_id, (since, _) in self._open.items() if since <= before]
        for row in await self._pool.fetch(ENDED, ripe) if ripe else ():
            since, ended = self._open.pop(row["saga_id"])
            self._lives.append(time.perf_counter() - since)
            ended.set_result(row["status"])


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

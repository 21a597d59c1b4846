"""`python -m bench`: sagas a second through the real engine, on servers of its own.

One process, in-process transport, real PostgreSQL with fsync: what a batch of starts and their steps cost. The numbers
are for comparing one commit with another on one machine, no more.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pydantic import BaseModel

from amends import Saga
from amends.clock import LoopClock
from amends.embedded import EmbeddedPostgres
from amends.identifiers import new_id
from consumers.execution import Surroundings
from consumers.inprocess import Broker, InProcessTransport
from consumers.worker import Worker, WorkerNumbers
from eventstore.migrate import migrate
from eventstore.postgres import PostgresStore
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from sagas.inputs import Start
from sagas.listing import SagaFilter

LOOK_SECONDS = 0.02


class Payload(BaseModel):
    """About 200 bytes."""

    text: str = "x" * 180


workload = Saga("workload", input=Payload)


@workload.step("first")
async def first(request: Payload) -> Payload:
    """No work at all."""
    return request


@workload.step("second")
async def second(first: Payload) -> Payload:
    """No work at all."""
    return first


@workload.step("third")
async def third(second: Payload) -> Payload:
    """No work at all."""
    return second


@workload.step("fourth")
async def fourth(third: Payload) -> Payload:
    """No work at all."""
    return third


async def measure(url: str, count: int, window: int) -> float:
    """Sagas a second, with at most `window` of them started at once."""
    await migrate(url)
    store = await PostgresStore.open(url)
    clock, broker = LoopClock(), Broker()
    sender = InProcessTransport(broker, "orchestrator")
    publisher = Publisher(store, sender, clock, 4.0)
    engine = Engine(store, clock, publisher)
    sealed = workload.seal()
    await store.put_manifest(sealed.manifest)
    worker = Worker(
        InProcessTransport(broker, "worker"), store, {"workload": sealed}, Surroundings(), engine, WorkerNumbers(200)
    )
    orchestrator = Orchestrator(store, sender, clock, engine, publisher)
    tasks = [asyncio.create_task(worker.run()), asyncio.create_task(orchestrator.run())]
    began = time.perf_counter()
    for _ in range(0, count, window):
        await engine.apply([Start(new_id(), sealed.manifest, {"text": "x" * 180}) for _ in range(window)])
        while await store.sagas(SagaFilter(status="active", limit=1)):
            await asyncio.sleep(LOOK_SECONDS)
    took = time.perf_counter() - began
    worker.drain()
    orchestrator.stop()
    await asyncio.wait(tasks)
    await store.close()
    return count / took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--sagas", type=int, default=2000)
    parser.add_argument("--window", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="amends-bench-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder)
    server.prepare()
    described = server.process()
    process = subprocess.Popen(described.arguments, env=dict(described.environment), cwd="/",
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        while not server.ready():
            time.sleep(LOOK_SECONDS)
        rounds = [asyncio.run(measure(server.url, asked.sagas, asked.window)) for _ in range(asked.rounds)]
    finally:
        process.send_signal(described.stop_signal)
        process.wait()
        server.clear()
        shutil.rmtree(folder, ignore_errors=True)
    rows = [
        {"system": "amends, in one process", "window": asked.window, "sagas_per_second": round(one)} for one in rounds
    ]
    sys.stdout.write(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The floor: the rows and messages of a saga, written and read in batches, with no logic at all.

What no engine on these servers can beat. A forward saga has ten events in five commits, and four commands with four
answers; one that is undone has twelve, six, five and five.
"""

import argparse
import asyncio
import json
from uuid import uuid4

import asyncpg

from amends import loops
from amends.settings import load
from bench import sagas
from bench.programs.closed_loop import ClosedLoop, text
from bench.resp import Connection

BATCH = 100
TABLE = """
CREATE TABLE floor_events (
    position bigint GENERATED ALWAYS AS IDENTITY, workflow_id uuid NOT NULL, sequence_number integer NOT NULL,
    event_type text NOT NULL, event_data jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (workflow_id, sequence_number)
)
"""
WRITE = """
INSERT INTO floor_events (workflow_id, sequence_number, event_type, event_data)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::jsonb[])
"""
ROUNDS = {sagas.FORWARD: 4, sagas.COMPENSATING: 5}
COMMANDS, OUTCOMES, GROUP = "floor:commands", "floor:outcomes", "floor"


class Lane:
    """A database connection and one to Valkey: one batch at a time goes through."""

    def __init__(self, database: "asyncpg.Connection[asyncpg.Record]", redis: Connection, name: str, body: str) -> None:
        self._body = body
        self._database = database
        self._redis = redis
        self._streams = (f"{COMMANDS}:{name}", f"{OUTCOMES}:{name}")

    async def prepare(self) -> None:
        """Make the groups."""
        await self._redis.ask([("XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM") for key in self._streams])

    async def pass_batch(self, ids: list[str], rounds: int) -> None:
        """All events and messages of these sagas."""
        for number in range(rounds):
            await self._write(ids, number)
            for key in self._streams:
                await self._exchange(key, ids)
        await self._write(ids, rounds)

    async def _write(self, ids: list[str], number: int) -> None:
        pairs = [(one, 2 * number + half) for one in ids for half in (1, 2)]
        count = len(pairs)
        await self._database.execute(
            WRITE, [one for one, _ in pairs], [sequence for _, sequence in pairs], ["StepSucceeded"] * count,
            [self._body] * count,
        )  # fmt: skip

    async def _exchange(self, key: str, ids: list[str]) -> None:
        """Each a message to a stream, which is read by a group and removed."""
        await self._redis.ask([("XADD", key, "*", "saga", one, "body", self._body) for one in ids])
        (answer,) = await self._redis.ask(
            [("XREADGROUP", "GROUP", GROUP, "one", "COUNT", str(len(ids)), "STREAMS", key, ">")]
        )
        entries = [entry[0] for entry in answer[0][1]]
        await self._redis.ask([("XACK", key, GROUP, *entries), ("XDEL", key, *entries)])


class Gate:
    """Gathers the sagas of all clients in batches, for as many lanes as there are."""

    def __init__(self, rounds: int, batch: int) -> None:
        self._rounds = rounds
        self._batch = batch
        self._waiting: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def once(self) -> tuple[float | None, bool]:
        """One saga."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(ended)
        await ended
        return None, True

    async def serve(self, lane: Lane) -> None:
        """Pass batches through a lane until it is cancelled."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await lane.pass_batch([str(uuid4()) for _ in batch], self._rounds)
            for ended in batch:
                ended.set_result(None)


async def main() -> None:
    """Measure, as the harness says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", choices=sagas.EVERYWHERE, required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--warm", type=float, required=True)
    parser.add_argument("--payload", type=int, required=True)
    asked = parser.parse_args()
    settings = load()
    assert settings.database_url is not None, "the harness names it"
    assert settings.redis is not None, "the harness names it"
    gate = Gate(ROUNDS[asked.workload], BATCH)
    body = json.dumps({"step": "first", "attempt": 1, "result": {"text": text(asked.payload)}})
    lanes: list[Lane] = []
    for number in range(max(1, min(asked.window // BATCH, 4))):
        database = await asyncpg.connect(settings.database_url)
        if not lanes:
            await database.execute(TABLE)
        lanes.append(Lane(database, await Connection.open(settings.redis), str(number), body))
        await lanes[-1].prepare()
    serving = [asyncio.create_task(gate.serve(lane)) for lane in lanes]
    driving = asyncio.create_task(ClosedLoop(asked.window, asked.warm).run(gate.once))
    await asyncio.wait([driving, *serving], return_when=asyncio.FIRST_COMPLETED)
    for task in serving:
        task.cancel()
    await asyncio.gather(driving, *(task for task in serving if task.done() and not task.cancelled()))


if __name__ == "__main__":
    loops.run(main())

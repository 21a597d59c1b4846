"""What a saga costs is a number that does not change by itself: statements, commits, round trips, rows and bytes.

Real servers, and the real engine, orchestrator and worker, whose turns are taken here one after the other: a batch is
as large as it can be, nothing runs freely, and every count is exact. Who makes sagas cheaper lowers a budget; who makes
them dearer says why. What a process asks once (a manifest, groups) and what time brings (looks, leases) is left out.

| what         | what it is for                                                                                      |
|--------------|-----------------------------------------------------------------------------------------------------|
| `start`      | one statement and one commit for all starts of a batch (rule A4)                                    |
| `append`     | one statement and one commit for all outcomes of a batch (rule A3)                                  |
| `heads`      | what the first outcomes are decided on: one query; later ones go by remembered heads (rule A8)      |
| `XADD`       | a command, and its outcome                                                                          |
| `XLEN`       | whether a command's stream has room, in the round trip that sends it (rule C9)                      |
| `GET`        | whose memory the streams stand in, in the same one (rule L7)                                        |
| `XREADGROUP` | a batch of outcomes; commands, one for each priority that may have some (rule C4)                   |
| `EVAL`       | the commands, or the outcomes, of a batch, acknowledged and deleted in one step (rules C5, A11)     |
| trips        | a turn: commands out; in; outcomes out; commands over; outcomes in; outcomes over                   |
| commits      | those that write, by the ids that PostgreSQL gives to transactions                                  |
| rows         | events; a head that is made once and moved by each batch; a wait that comes and goes by each command |
| bytes        | events and heads as they are stored, commands and outcomes as they are sent; numbers with points    |
|              | count as one byte, since they are times                                                             |
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from amends.clock import LoopClock
from amends.identifiers import new_id
from bench.sagas import COMPENSATING, FORWARD, WORKLOADS
from consumers.connections import Connection
from consumers.execution import Surroundings
from consumers.stream import RedisStreams
from consumers.worker import Worker, WorkerNumbers
from eventstore import queries
from eventstore.postgres import PostgresStore
from eventstore.queries import query
from orchestrator.engine import Engine
from orchestrator.publisher import Publisher
from orchestrator.service import Orchestrator
from sagas.inputs import Start
from sagas.listing import SagaFilter
from sagas.seal import Sealed
from tests.acceptance.running import until

TEXT = "x" * 180
LONG = 1e6
ROWS = """
SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables
WHERE schemaname = 'amends' AND relname IN ('sagas', 'waits', 'workflow_events', 'effects', 'event_outbox', 'payloads')
    AND n_tup_ins + n_tup_upd + n_tup_del > 0
"""
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
BYTES = r"""
SELECT (SELECT sum(octet_length(regexp_replace(event_data::text, '\d+\.\d+(e-?\d+)?', '0', 'g')))
        FROM amends.workflow_events) AS events,
    (SELECT sum(octet_length(regexp_replace(state::text, '\d+\.\d+(e-?\d+)?', '0', 'g'))) FROM amends.sagas) AS heads
"""
TIME = re.compile(rb"\d+\.\d+(e-?\d+)?")
KNOWN = {query(path.stem): path.stem for path in Path(queries.__file__).parent.glob("*.sql")}


@dataclass(frozen=True)
class Budget:
    """For so many sagas that go together; rows and bytes are those of one saga."""

    statements: dict[str, int]
    commands: dict[str, int]
    trips: int
    commits: int
    rows: Mapping[str, tuple[int, ...]]
    bytes: dict[str, int]


FORWARD_ROWS = {"sagas": (1, 4, 0), "waits": (4, 0, 4), "workflow_events": (10, 0, 0)}
COMPENSATING_ROWS = {"sagas": (1, 5, 0), "waits": (5, 0, 5), "workflow_events": (13, 0, 0)}
FORWARD_BYTES = {"events": 1453, "heads": 1611, "sent": 3751}
COMPENSATING_BYTES = {"events": 1409, "heads": 1423, "sent": 4304}
BUDGETS = {
    (FORWARD, 1): Budget(
        {"start": 1, "heads": 1, "append": 4},
        {"XADD": 8, "XLEN": 4, "GET": 4, "XREADGROUP": 12, "EVAL": 8},
        28,
        5,
        FORWARD_ROWS,
        FORWARD_BYTES,
    ),
    (FORWARD, 50): Budget(
        {"start": 1, "heads": 1, "append": 4},
        {"XADD": 400, "XLEN": 4, "GET": 4, "XREADGROUP": 20, "EVAL": 8},
        36,
        5,
        FORWARD_ROWS,
        FORWARD_BYTES,
    ),
    (COMPENSATING, 1): Budget(
        {"start": 1, "heads": 1, "append": 5},
        {"XADD": 10, "XLEN": 5, "GET": 5, "XREADGROUP": 15, "EVAL": 10},
        35,
        6,
        COMPENSATING_ROWS,
        COMPENSATING_BYTES,
    ),
    (COMPENSATING, 50): Budget(
        {"start": 1, "heads": 1, "append": 5},
        {"XADD": 500, "XLEN": 5, "GET": 5, "XREADGROUP": 25, "EVAL": 10},
        45,
        6,
        COMPENSATING_ROWS,
        COMPENSATING_BYTES,
    ),
}


@dataclass
class Counts:
    """What was asked of both servers."""

    statements: Counter[str] = field(default_factory=Counter[str])
    commands: Counter[str] = field(default_factory=Counter[str])
    trips: int = 0
    sent: int = 0

    def since(self, before: "Counts") -> "Counts":
        """What was asked since then."""
        return Counts(
            self.statements - before.statements,
            self.commands - before.commands,
            self.trips - before.trips,
            self.sent - before.sent,
        )


class StandingClock(LoopClock):
    """By which the orchestrator never looks for what is due: how often it does is a matter of time."""

    def monotonic(self) -> float:
        return 0.0


class NoLeases:
    """Leases are renewed once a second: a matter of time as well."""

    def hold(self, entry: str) -> None: ...
    def release(self, entry: str) -> None: ...
    async def renew(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    found = Counts()
    ask = Connection.ask

    async def asked(self: Connection, batch: Sequence[Any]) -> Any:
        found.trips += 1
        found.commands.update(command[0] for command in batch)
        found.sent += sum(len(TIME.sub(b"0", command[-1])) for command in batch if command[0] == "XADD")
        return await ask(self, batch)

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        async def statement(self: PostgresStore, text: str, *arguments: Any) -> Any:
            found.statements[KNOWN.get(text, text)] += 1
            return await method(self, text, *arguments)

        return statement

    monkeypatch.setattr(Connection, "ask", asked)
    for name in ("_fetch", "_value", "_execute", "_commit"):
        monkeypatch.setattr(PostgresStore, name, counted(getattr(PostgresStore, name)))
    return found


@dataclass
class Stage:
    """The services, whose turns are taken here."""

    store: PostgresStore
    engine: Engine
    orchestrator: Orchestrator
    worker: Worker
    outcomes: RedisStreams

    async def turn(self) -> None:
        """All commands that were sent are run, and all their outcomes applied."""
        worker: Any = self.worker
        await worker._turn()
        await asyncio.gather(*worker._running.values())
        sending = asyncio.create_task(worker._reports._send())
        await worker._reports._to_send.join()
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        orchestrator: Any = self.orchestrator
        await orchestrator.turn()
        await orchestrator._overlap.over()

    async def ended(self) -> None:
        """Every saga has, and nothing is asked any more."""
        assert not await self.store.sagas(SagaFilter(status="active"))
        assert not await self.store.sagas(SagaFilter(status="compensating"))
        receiver: Any = self.worker
        await receiver._receiver.close()
        await self.outcomes.close()
        await self.store.close()


async def next_transaction(url: str) -> int:
    """The id that the next transaction gets that writes; none is used for this."""
    owner = await asyncpg.connect(url)
    number = int(await owner.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text"))
    await owner.close()
    return number


async def kept(url: str) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Rows that were inserted, updated and deleted, by table, once every connection has told of its own; and bytes."""
    owner = await asyncpg.connect(url)

    async def alone() -> bool:
        return bool(await owner.fetchval(OTHERS) == 0)

    await until(alone, 10)
    rows = {name: tuple(changed) for name, *changed in await owner.fetch(ROWS)}
    (stored,) = await owner.fetch(BYTES)
    await owner.close()
    return rows, {name: int(size) for name, size in stored.items()}


async def staged(url: str, redis_url: str, sealed: Sealed, batch: int) -> Stage:
    store = await PostgresStore.open(url)
    await store.put_manifest(sealed.manifest)
    streams, clock = RedisStreams(redis_url, "orchestrator"), LoopClock()
    publisher = Publisher(store, streams, clock, 4.0)
    engine = Engine(store, clock, publisher)
    numbers = WorkerNumbers(batch, fresh_seconds=LONG, started_after_seconds=LONG)
    worker: Any = Worker(
        RedisStreams(redis_url, "worker"), store, {sealed.manifest.name: sealed}, Surroundings(), engine, numbers
    )
    worker._keeper = NoLeases()
    await worker._open()
    await streams.outcomes(1, 0)
    any_streams: Any = streams
    any_streams._claim_at = inf
    orchestrator: Any = Orchestrator(store, streams, StandingClock(), engine, publisher)
    orchestrator._look_at = inf
    return Stage(store, engine, orchestrator, worker, streams)


async def run(stage: Stage, sealed: Sealed, workload: str, batch: int) -> None:
    """So many sagas from their start to their end."""
    value = WORKLOADS[workload].input(TEXT)
    await stage.engine.apply([Start(new_id(), sealed.manifest, value) for _ in range(batch)])
    for _ in range(WORKLOADS[workload].steps):
        await stage.turn()


def share(whole: int, sagas: int) -> int:
    """What one saga has of it; they are all alike."""
    part, rest = divmod(whole, sagas)
    assert rest == 0, f"{whole} of {sagas} sagas: they differ"
    return part


@pytest.mark.parametrize("batch", [1, 50])
@pytest.mark.parametrize("workload", [FORWARD, COMPENSATING])
async def test_a_saga_costs_what_its_budget_says(
    database_url: str, redis_url: str, counts: Counts, workload: str, batch: int
) -> None:
    sealed = WORKLOADS[workload].saga.seal()
    stage = await staged(database_url, redis_url, sealed, batch)
    await run(stage, sealed, workload, batch)  # what is asked once a process
    before = replace(counts, statements=counts.statements.copy(), commands=counts.commands.copy())
    first = await next_transaction(database_url)
    await run(stage, sealed, workload, batch)
    commits = await next_transaction(database_url) - first
    asked = counts.since(before)
    await stage.ended()
    rows, stored = await kept(database_url)
    found = Budget(
        dict(asked.statements),
        dict(asked.commands),
        asked.trips,
        commits,
        {table: tuple(share(count, 2 * batch) for count in changed) for table, changed in rows.items()},
        {"sent": share(asked.sent, batch)} | {name: share(size, 2 * batch) for name, size in stored.items()},
    )
    assert found == BUDGETS[workload, batch]

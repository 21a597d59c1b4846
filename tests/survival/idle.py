"""`make idle`: what a system costs that only waits: statements, Redis commands, and processor time, by role.

`amends up` with every process of its own, and sagas that all wait for a signal. PostgreSQL writes down each statement
and who asked it; what its own background work does is no statement. It ends with 1 when the limits are exceeded.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from amends import Saga, days
from tests.acceptance.running import Running, pause, running, until
from tests.processes import descendants
from tests.servers import raw_redis

STATEMENTS_MAX = 60.0
CORE_MAX = 0.01
SETTLE_SECONDS = 75
"""More than the minute after which an orchestrator takes itself for idle."""
LINE = re.compile(r"^asked:(?P<who>[^:]*):\S* LOG: +(?:execute [^:]+|statement): (?P<what>.*)")
LIKE_IT = (
    "INSERT INTO amends.sagas (saga_id, definition, fingerprint, status, version, state) "
    "SELECT id, definition, fingerprint, status, version, replace(state::text, saga_id::text, id::text)::json "
    "FROM more, amends.sagas WHERE saga_id = $1",
    "INSERT INTO amends.workflow_events (workflow_id, sequence_number, event_type, schema_version, event_data, "
    "created_at, causation_id) SELECT id, sequence_number, event_type, schema_version, event_data, created_at, "
    "causation_id FROM more, amends.workflow_events WHERE workflow_id = $1",
    "INSERT INTO amends.waits (saga_id, opened_by, kind, step, due_at, since) "
    "SELECT id, opened_by, kind, step, due_at, since FROM more, amends.waits WHERE saga_id = $1",
)


class Nothing(BaseModel):
    """What a saga is given that waits."""


waiting = Saga("waiting", input=Nothing)
answer = waiting.wait("answer", model=Nothing, timeout=days(300), on_timeout="compensate")


async def fill(made: Running, count: int) -> None:
    """Start one saga that waits, and let so many be as it is."""
    _, found = await made.call("POST", "/api/sagas", json={"definition": "waiting", "input": {}})
    assert "sagaId" in found, found
    saga_id = str(found["sagaId"])

    async def waits() -> Any:
        return await made.database.fetchval("SELECT count(*) FROM amends.waits WHERE saga_id = $1", saga_id)

    await until(waits, 30)
    await made.database.execute(
        f"CREATE TEMPORARY TABLE more AS SELECT gen_random_uuid() AS id FROM generate_series(2, {count:d})"
    )
    for statement in LIKE_IT:
        await made.database.execute(statement, saga_id)
    for table in ("sagas", "workflow_events", "waits"):
        await made.database.execute(f"VACUUM (ANALYZE) amends.{table}")
    await made.database.execute("CHECKPOINT")

    async def told() -> Any:
        behind = await made.database.fetchval(
            "SELECT count(*) FROM amends.feed_cursors "
            "WHERE position < (SELECT max(position) FROM amends.workflow_events)"
        )
        return behind == 0

    await until(told, 300)


def seconds_of(pids: set[int]) -> float:
    """The processor time that processes have had."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def times(made: Running) -> dict[str, float]:
    """The processor time of each process, with what it started."""
    pids: dict[str, int] = json.loads((made.folder / "runtime.json").read_text("utf-8"))["pids"]
    return {"up": seconds_of({made.process.pid})} | {
        name: seconds_of({pid, *descendants(pid)}) for name, pid in pids.items()
    }


async def pass_time(seconds: float) -> None:
    """Let time pass."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await pause()


async def asked(made: Running, seconds: float) -> dict[str, Any]:
    """What is asked in so many seconds, as figures of a minute."""
    redis = raw_redis(made.runtime["redis_url"])
    log = made.folder / "logs" / "postgres.log"
    for setting in ("log_statement = 'all'", "log_line_prefix = 'asked:%a:%p '"):
        await made.database.execute(f"ALTER SYSTEM SET {setting}")
    await made.database.execute("SELECT pg_reload_conf()")
    await pass_time(1)
    await redis.config_resetstat()
    start, before = log.stat().st_size, times(made)
    await pass_time(seconds)
    after = times(made)
    lines = log.read_bytes()[start:].decode("utf-8", "replace").splitlines()
    stats = await redis.info("commandstats")
    await redis.aclose()
    told = [found for line in lines if (found := LINE.match(line)) is not None]
    minutes = seconds / 60
    by_role = Counter(found["who"] for found in told)
    by_text = Counter(f"{found['who']}: {found['what'][:90]}" for found in told)
    commands = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}
    shares = {name: (after[name] - before[name]) / seconds for name in after}
    servers = {"postgres", "valkey"}
    return {
        "statements": round(sum(by_role.values()) / minutes, 1),
        "statements_by_role": {name: round(count / minutes, 1) for name, count in by_role.most_common()},
        "statements_by_text": {name: round(count / minutes, 1) for name, count in by_text.most_common(40)},
        "redis_commands": round(sum(commands.values()) / minutes, 1),
        "redis_commands_by_name": {name: round(count / minutes, 1) for name, count in commands.items()},
        "core": round(sum(share for name, share in shares.items() if name not in servers), 4),
        "core_with_servers": round(sum(shares.values()), 4),
        "core_by_process": {name: round(share, 4) for name, share in shares.items()},
    }


async def measure(count: int, seconds: float) -> dict[str, Any]:
    """The figures of a minute, with so many sagas that wait."""
    async with running(sagas="marketplace,tests.survival.idle:waiting") as made:
        await fill(made, count)
        await pass_time(SETTLE_SECONDS)
        return await asked(made, seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="idle")
    parser.add_argument("--sagas", type=int, default=100_000, help="that wait for a signal")
    parser.add_argument("--seconds", type=float, default=60.0, help="for which is looked")
    given = parser.parse_args()
    found = asyncio.run(measure(given.sagas, given.seconds))
    sys.stdout.write(json.dumps({"sagas": given.sagas, "a minute": found}, indent=2) + "\n")
    sys.exit(0 if found["statements"] < STATEMENTS_MAX and found["core_with_servers"] < CORE_MAX else 1)


if __name__ == "__main__":
    main()

"""Commands for who is on call, on a real database: they say what is wrong, what helps, and what they did not do."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import marketplace
from amends.backend import Backend
from amends.clock import LoopClock
from amends.explanation import explain
from consumers.projector import Projector
from eventstore.migrate import migrate
from eventstore.postgres import PostgresStore
from eventstore.workers import Registry, forget, nobody_for
from marketplace.jobs import executions
from orchestrator.engine import Engine
from reconciler.evidence import LOCK
from tests.conformance.test_store import MANIFEST, saga_id, started
from tests.integration.test_job_executions import plan


@pytest.fixture
async def url(database_url: str) -> str:
    assert marketplace.application.migrations is not None
    await migrate(database_url, {"marketplace": marketplace.application.migrations})
    return database_url


async def amends(url: str, redis_url: str, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    told = {**os.environ, "DATABASE_URL": url, "REDIS_URL": redis_url}
    return await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "amends", *command], env=told, cwd=folder, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip


async def test_reconcile_that_could_not_look_says_so(url: str, redis_url: str, tmp_path: Path) -> None:
    other = await asyncpg.connect(url)
    await other.execute("SELECT pg_advisory_lock($1)", LOCK)
    told = await amends(url, redis_url, tmp_path, "reconcile", "--once")
    assert (told.returncode, told.stdout) == (1, "nobody looked: another reconciler is at work\n  remedy: ask again\n")
    told = await amends(url, redis_url, tmp_path, "reconcile", "--once", "--json")
    assert (told.returncode, json.loads(told.stdout)["busy"]) == (1, True)
    await other.close()
    assert (await amends(url, redis_url, tmp_path, "reconcile", "--once")).returncode == 0


async def test_a_projection_that_differs_is_named_with_its_remedy_which_helps(
    url: str, redis_url: str, tmp_path: Path
) -> None:
    store = await PostgresStore.open(url)
    projector = Projector(store, [executions], LoopClock())
    await projector.run_once()
    async with store.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO marketplace_job_executions (id, plan_id, job_id, status, created_at) "
            "VALUES (gen_random_uuid(), $1, 'nobody', 'active', now())",
            await plan(connection),
        )
    told = await amends(url, redis_url, tmp_path, "doctor", "--invariants")
    assert told.returncode == 1, told.stderr
    remedy = "amends doctor --rebuild marketplace_job_executions"
    assert f"remedy: `{remedy}`" in told.stdout
    told = await amends(url, redis_url, tmp_path, *remedy.split()[1:])
    assert told.returncode == 0, told.stderr
    await projector.run_once()
    told = await amends(url, redis_url, tmp_path, "doctor", "--invariants")
    assert told.returncode == 0, told.stdout
    await store.close()


async def test_rule_c7_a_command_that_no_worker_can_run_says_so(database_url: str) -> None:
    store = await PostgresStore.open(database_url)
    await store.put_manifest(MANIFEST)
    await store.start([started(1)])
    assert await nobody_for(store.pool, saga_id(1)) == frozenset(), "it has only just been sent"
    await store.pool.execute("UPDATE amends.waits SET since = now() - interval '1 minute'")
    other, able = (Registry(store.pool, name, ["one"], [f"pair.first:{name}"]) for name in ("undo", "step"))
    await other.beat()
    await Registry(store.pool, "elsewhere", ["two"], ["pair.first:step"]).beat()
    assert await nobody_for(store.pool, saga_id(1)) == frozenset({2}), "one lacks the handler, one reads other queues"
    nobody: Any = None
    backend = Backend(store, store.pool, Engine(store, LoopClock()), nobody, {})
    view = await backend.view(saga_id(1))
    assert view is not None
    assert "waits for a worker that can run first: no capable worker since" in "\n".join(explain(view, 0, 0))
    await able.beat()
    assert await nobody_for(store.pool, saga_id(1)) == frozenset()
    await store.pool.execute("UPDATE amends.workers SET seen_at = now() - interval '2 minutes'")
    assert await nobody_for(store.pool, saga_id(1)) == frozenset({2}), "it has died"
    await store.close()


async def test_workers_that_nobody_heard_of_for_an_hour_are_forgotten(database_url: str) -> None:
    store = await PostgresStore.open(database_url)
    for name, minutes in (("lives", 59), ("killed", 61)):
        await Registry(store.pool, name, ["q"], ["s"]).beat()
        await store.pool.execute(
            "UPDATE amends.workers SET seen_at = now() - make_interval(mins => $2) WHERE worker_id = $1", name, minutes
        )
    await forget(store.pool)
    assert await store.pool.fetchval("SELECT array_agg(worker_id) FROM amends.workers") == ["lives"]
    await store.close()

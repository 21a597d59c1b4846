"""Health of Redis, metrics and the API's own description, from outside."""

import os
import re
import signal

import aiohttp
import pytest

from tests.acceptance.running import Running, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def metric(made: Running, name: str) -> float:
    async with made.http.get(f"{made.runtime['url']}/api/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await response.text()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


async def test_health_and_description_need_no_key_and_metrics_do(made: Running) -> None:
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{made.runtime['url']}/api/health/redis") as response:
            found = await response.json()
            assert (response.status, found["status"]) == (200, "connected")
            assert re.fullmatch(r"\d+ms", found["latency"])
        async with client.get(f"{made.runtime['url']}/openapi.json") as response:
            document = await response.json()
        async with client.get(f"{made.runtime['url']}/api/metrics") as response:
            assert response.status == 401
    assert document["openapi"] == "3.1.0"
    assert {"/api/sagas/{id}/cancel", "/api/metrics", "/openapi.json", "/api/health/redis",
            "/api/marketplace/analysis/upload"} <= document["paths"].keys()  # fmt: skip


async def test_metrics_count_what_there_is(made: Running) -> None:
    saga_id = await made.approve(await made.pending_plan())
    await made.ended(saga_id)
    assert await metric(made, 'amends_sagas{status="completed"}') >= 1
    assert await metric(made, "amends_operator_waits") == 0
    assert await metric(made, "amends_database_up") == 1
    workers = made.pids("worker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        saga_id = await made.approve(await made.pending_plan())

        async def pending() -> bool:
            return await metric(made, "marketplace_queue_pending_jobs") >= 1

        await until(pending, 10)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    await made.ended(saga_id)


async def test_a_redis_that_stands_still_is_told(made: Running) -> None:
    (redis,) = made.pids("valkey")
    os.kill(redis, signal.SIGSTOP)
    try:

        async def away() -> bool:
            status, found = await made.call("GET", "/api/health/redis")
            if status == 503:
                assert found["errors"][0]["field"] == "redis"
                assert found["errors"][0]["remedy"]
            return status == 503

        await until(away, 15)
        assert await metric(made, "amends_redis_up") == 0
        assert (await made.call("GET", "/api/sagas"))[0] == 200
    finally:
        os.kill(redis, signal.SIGCONT)

    async def back() -> bool:
        return (await made.call("GET", "/api/health/redis"))[0] == 200

    await until(back, 15)

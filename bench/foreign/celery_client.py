"""Starts chains of Celery and hears of their ends. Run by the interpreter that has the package."""

import argparse
import asyncio
import json
import time
import uuid
from typing import Any

import celery_tasks
import redis.asyncio
from closed_loop import ClosedLoop, text

PREFIX = "celery-task-meta-"


async def hear(url: str, waiting: dict[str, asyncio.Future[Any]], ready: asyncio.Event) -> None:
    """Hear of the results as they are written, as the result backend itself does."""
    async with redis.asyncio.Redis(unix_socket_path=url) as client, client.pubsub() as channel:
        await channel.psubscribe(f"{PREFIX}*")
        async for message in channel.listen():
            ready.set()
            if message["type"] == "pmessage":
                ended = waiting.pop(message["channel"].decode().removeprefix(PREFIX), None)
                if ended is not None and not ended.done():
                    ended.set_result(json.loads(message["data"])["result"])


async def main() -> None:
    """Measure, as the harness says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--warm", type=float, required=True)
    parser.add_argument("--payload", type=int, required=True)
    parser.add_argument("--socket", required=True)
    asked = parser.parse_args()
    celery_tasks.connect(asked.socket)
    start = celery_tasks.forward if asked.workload == "forward" else celery_tasks.compensating
    waiting: dict[str, asyncio.Future[Any]] = {}
    ready = asyncio.Event()
    hearing = asyncio.create_task(hear(asked.socket, waiting, ready))
    await ready.wait()

    async def once() -> tuple[float | None, bool]:
        saga = str(uuid.uuid4())
        waiting[saga] = ended = asyncio.get_running_loop().create_future()
        given = {"text": text(asked.payload)}
        start(given, saga)
        accepted = time.perf_counter()
        await asyncio.wait([ended, hearing], return_when=asyncio.FIRST_COMPLETED)
        return accepted, ended.done() and ended.result() == given

    await ClosedLoop(asked.window, asked.warm).run(once)


asyncio.run(main())

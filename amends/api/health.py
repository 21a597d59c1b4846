"""Whether the servers behind the API answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import ceil

from aiohttp import web

from amends.api.guard import RETRY_AFTER_SECONDS, answer, unavailable
from amends.backend import Backend
from amends.problems import field_problem
from sagas.ports import StoreUnavailable, TransportUnavailable

log = logging.getLogger("amends.api")

ANSWER_SECONDS = 2.0
KNOWN_SECONDS = 0.5
"""Who asks more often is told the same: nobody without a key makes more connections to Redis than that."""
Ping = Callable[[], Awaitable[float]]


class Health:
    """Asks Redis with `ping`, which gives the seconds that the answer took."""

    def __init__(self, ping: Ping) -> None:
        self._ping = ping
        self._asking = asyncio.Lock()
        self._known: tuple[float, float | None] | None = None

    async def latency(self) -> float | None:
        """The seconds that Redis takes to answer; None: it is away."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._known is None or now - self._known[0] > KNOWN_SECONDS:
                found = await self._ask()
                self._known = (asyncio.get_running_loop().time(), found)
            return self._known[1]

    async def _ask(self) -> float | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ping()
        except (TransportUnavailable, TimeoutError) as away:
            log.warning("Redis does not answer: %s", away)
            return None

    async def redis(self, request: web.Request, backend: Backend) -> web.Response:
        """`GET /api/health/redis`: whether Redis answers, and how fast; 503 while it does not."""
        latency = await self.latency()
        if latency is None:
            problem = field_problem(
                503, "Unavailable", "redis", "does not answer", "start it, or correct REDIS_URL; no work is lost"
            )
            problem.headers["Retry-After"] = RETRY_AFTER_SECONDS
            problem.members["redis"] = "away"
            raise problem
        return answer({"status": "connected", "latency": f"{ceil(latency * 1000)}ms"})


async def live(request: web.Request, backend: Backend) -> web.Response:
    """`GET /livez`: the process answers."""
    return answer({"status": "alive"})


async def ready(request: web.Request, backend: Backend) -> web.Response:
    """`GET /readyz`: the database answers, so requests can be taken; Redis is not needed for that."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await backend.store.now()
    except (StoreUnavailable, TimeoutError) as away:
        log.warning("not ready: %s", away)
        problem = unavailable()
        problem.members["database"] = "away"
        raise problem from away
    return answer({"status": "ready", "database": "connected"})

"""`POST /api/sagas/{id}/migrate`: what was looked at is what is moved."""

import time
from typing import Any

import aiohttp
import pytest

from amends import App
from amends.api.app import make_app
from amends.api.server import listening
from amends.backend import Backend, Looked
from amends.clock import LoopClock
from eventstore.memory import MemoryStore
from orchestrator.engine import Engine
from sagas.events import Json
from sagas.inputs import Hold, Start
from tests.unit.test_decisions import SAGA
from tests.unit.test_moving import version
from tests.unit.test_routes import KEY, ping

pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")


class Moved(Backend):
    """A backend without a database, whose saga moves between the look and the request, if it is told to."""

    meanwhile = False

    async def look_at(self, saga_id: str, fingerprint: str) -> Looked | None:
        """Look, and then something happens."""
        found = await super().look_at(saga_id, fingerprint)
        if self.meanwhile:
            await self._engine.apply([Hold(saga_id, "look first", "h1")])
        return found

    async def view(self, saga_id: str) -> dict[str, Json] | None:
        """How it stands."""
        return {"version": (await self.store.heads([saga_id]))[saga_id].version}


@pytest.mark.parametrize(
    ("meanwhile", "if_match", "status"),
    [(False, None, 200), (True, None, 412), (True, "*", 412), (True, "2", 412), (False, "2", 200), (False, "1", 412)],
)
async def test_a_saga_that_moved_since_it_was_looked_at_is_not_moved(
    meanwhile: bool, if_match: str | None, status: int
) -> None:
    store = MemoryStore(time.time)
    engine, old, new = Engine(store, LoopClock()), version(), version(ribbon=True)
    for sealed in (old, new):
        await store.put_manifest(sealed.manifest)
    await engine.apply([Start(SAGA, old.manifest, {"city": "Lima", "gift": True})])
    unused: Any = None
    backend = Moved(store, unused, engine, unused, {"send": new})
    backend.meanwhile = meanwhile
    headers = {"Authorization": f"Bearer {KEY}"} | ({"If-Match": if_match} if if_match is not None else {})
    body = {"reason": "ribbons", "fingerprint": new.manifest.fingerprint}
    async with (
        listening(make_app(backend, [App("a", sagas=[new.saga])], KEY, ping), "127.0.0.1", 0) as url,
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{url}/api/sagas/{SAGA}/migrate", json=body) as response,
    ):
        assert response.status == status, await response.text()
    fingerprint = (await store.heads([SAGA]))[SAGA].fingerprint
    assert fingerprint == (new if status == 200 else old).manifest.fingerprint

"""What is asked of many sagas, and of one: nothing that was sent is ignored, and nothing refused is left unsaid."""

from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from amends.api.app import make_app
from amends.api.server import listening
from sagas.inputs import Answer
from tests.unit.test_routes import KEY, ping

ID = "01900000-0000-7000-8000-000000000001"

pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")


class OneSaga:
    """A backend that refuses whatever is asked of its one saga."""

    database = None

    def __init__(self) -> None:
        self.store = self

    async def sagas(self, wanted: object) -> list[Any]:
        return [SimpleNamespace(state=SimpleNamespace(saga_id=ID), cursor=ID)]

    async def ask_all(self, words: list[Any]) -> list[Answer]:
        return [Answer("refused", ID, detail="the saga is completed") for _ in words]


async def ask(path: str, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    backend: Any = OneSaga()
    app = make_app(backend, [], KEY, ping)
    async with (
        listening(app, "127.0.0.1", 0) as url,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.post(f"{url}/api/sagas/{path}", json=body, headers=headers) as response,
    ):
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize("verb", ["hold", "release"])
async def test_what_was_refused_of_many_is_named_with_its_detail(verb: str) -> None:
    status, told = await ask(verb, {"reason": "why", "definition": "d"})
    assert (status, told["matched"], told["changed"]) == (200, 1, 0)
    assert told["refused"] == [{"sagaId": ID, "detail": "the saga is completed"}]


@pytest.mark.parametrize("verb", ["hold", "release"])
async def test_many_sagas_have_no_version_that_could_be_expected(verb: str) -> None:
    status, told = await ask(verb, {"reason": "why", "definition": "d"}, **{"If-Match": '"7"'})
    assert (status, told["errors"][0]["field"]) == (400, "If-Match")


async def test_only_what_happened_has_a_result() -> None:
    body = {"reason": "why", "step": "a", "outcome": "skip", "result": 7}
    status, told = await ask(f"{ID}/resolve", body)
    assert (status, told["errors"][0]["field"]) == (422, "result")

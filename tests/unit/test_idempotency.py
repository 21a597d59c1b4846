"""Ids and fingerprints of keyed requests."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from amends.api.callers import Caller
from amends.api.idempotency import RequestIds, answer_once, fingerprint_of
from amends.identifiers import is_id
from amends.problems import Problem
from eventstore.requests import KeptAnswer
from sagas.ports import StoreUnavailable

pytestmark = pytest.mark.filterwarnings(  # the API names what it keeps with a request by plain text
    "ignore::aiohttp.web_exceptions.NotAppKeyWarning"
)


class Memory:
    """Keyed requests without a database; `away`: it goes away after the work."""

    def __init__(self, away: bool = False) -> None:
        self.away = away
        self.kept: list[KeptAnswer] = []
        self.freed = 0

    async def begin(self, caller: str, key: str, body_hash: str) -> UUID:
        return uuid4()

    async def keep(self, caller: str, key: str, answer: KeptAnswer) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.kept.append(answer)

    async def free(self, caller: str, key: str) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.freed += 1


async def answered(memory: Memory, outcome: Exception | web.Response) -> web.Response:
    async def work(ids: RequestIds) -> web.Response:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    backend: Any = SimpleNamespace(requests=memory)
    request = make_mocked_request("POST", "/", headers={"Idempotency-Key": "k"})
    request["key"], request["request_id"] = Caller("root", "root", "operator"), "r"
    return await answer_once(request, backend, ["body"], work)


@pytest.mark.parametrize(("error", "status"), [(StoreUnavailable("away"), 503), (RuntimeError("ours"), 500)])
async def test_a_failure_of_ours_frees_the_key(error: Exception, status: int) -> None:
    memory = Memory()
    assert (await answered(memory, error)).status == status
    assert (memory.kept, memory.freed) == ([], 1)


async def test_an_answer_that_says_when_to_try_again_is_not_kept() -> None:
    memory, problem = Memory(), Problem(409, "Plan cannot be approved")
    problem.headers["Retry-After"] = "2"
    assert (await answered(memory, problem)).status == 409
    assert (memory.kept, memory.freed) == ([], 1)
    assert (await answered(memory, Problem(409, "Refused"))).status == 409
    assert (len(memory.kept), memory.freed) == (1, 1)


async def test_what_is_answered_is_kept_with_its_place() -> None:
    memory = Memory()
    response = web.json_response({"a": 1}, status=202, headers={"Location": "/x"})
    assert await answered(memory, response) is response
    (kept,) = memory.kept
    assert (kept.status, kept.body, kept.headers["Location"]) == (202, b'{"a": 1}', "/x")
    assert kept.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("outcome", [RuntimeError("ours"), web.json_response({}, status=202)])
async def test_an_answer_that_cannot_be_kept_is_still_given(outcome: Exception | web.Response) -> None:
    response = await answered(Memory(away=True), outcome)
    assert response.status == (500 if isinstance(outcome, Exception) else 202)


def test_ids_of_a_keyed_request_are_the_same_each_time_and_differ_by_what_they_are_for() -> None:
    origin = uuid4()
    one, two = RequestIds(origin), RequestIds(origin)
    assert one.new("saga") == two.new("saga") != one.new("plan")
    assert is_id(one.new("saga"))
    assert one.made(two.new("saga"), "saga")
    assert not one.made(two.new("plan"), "saga")


def test_without_a_key_each_id_is_new_and_nothing_was_made_before() -> None:
    ids = RequestIds(None)
    assert ids.new("saga") != ids.new("saga")
    assert not ids.made(ids.new("saga"), "saga")


def test_a_fingerprint_is_that_of_the_value_not_of_its_spelling() -> None:
    assert fingerprint_of({"a": 1, "b": [1]}) == fingerprint_of({"b": [1], "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})
    assert fingerprint_of("a", b"bc", ["d"]) != fingerprint_of("ab", b"c", ["d"])

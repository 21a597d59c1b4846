"""The description of the API is made from its routes."""

import inspect
import json
import re

from aiohttp import web

from amends import Backend, Route
from amends.api.app import OPEN_ROUTES, ROUTES
from amends.api.openapi import document_of, summary_of
from marketplace import routes


async def plain(request: web.Request, backend: Backend) -> web.Response:
    """Says nothing of its route.

    More.
    """
    return web.Response()


def test_each_route_is_described_with_its_role_and_its_problems() -> None:
    document = document_of([*ROUTES, *routes.ROUTES], OPEN_ROUTES)
    assert document["openapi"] == "3.1.0"
    described = {
        (method.upper(), path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert set(described) == {(route.method, route.path) for route in (*ROUTES, *routes.ROUTES, *OPEN_ROUTES)}
    for operation in described.values():
        assert operation["summary"]
        assert "`" not in operation["summary"].partition(";")[0]
        for status, response in operation["responses"].items():
            if status >= "4":
                assert response["$ref"].rpartition("/")[2] in document["components"]["responses"]
    cancel = described["POST", "/api/sagas/{id}/cancel"]
    assert cancel["security"] == [{"key": []}]
    assert "role operator" in cancel["description"]
    assert [(entry["name"], entry["in"]) for entry in cancel["parameters"]] == [
        ("id", "path"), ("Idempotency-Key", "header"), ("If-Match", "header")
    ]  # fmt: skip
    assert {"400", "401", "403", "404", "409", "422", "503"} <= cancel["responses"].keys()
    assert described["GET", "/livez"]["security"] == []
    names = [operation["operationId"] for operation in described.values()]
    assert len(set(names)) == len(names)


def test_each_route_that_reads_a_body_or_a_query_says_so() -> None:
    for route in (*ROUTES, *routes.ROUTES):
        source = inspect.getsource(route.handler)
        assert (route.body is not None) == bool(re.search(r"read_json\(|read_form\(", source)), route.path
        assert (route.body is not None) == (route.method != "GET"), route.path
        assert bool(route.query) == bool(re.search(r"request\.query|limit_of\(", source)), route.path
        assert set(re.findall(r"asked\.get\(\"(\w+)\"", source)) <= set(route.query)
        assert route.answers, route.path


def test_bodies_parameters_and_answers_are_described() -> None:
    paths = document_of([*ROUTES, *routes.ROUTES], OPEN_ROUTES)["paths"]
    start = paths["/api/sagas"]["post"]
    assert start["requestBody"]["content"]["application/json"]["schema"]["required"] == ["definition", "input"]
    assert {"201", "200"} <= start["responses"].keys()
    assert "2XX" not in start["responses"]
    batch = paths["/api/sagas/batch"]["post"]
    sagas = batch["requestBody"]["content"]["application/json"]["schema"]["properties"]["sagas"]
    assert (sagas["minItems"], sagas["maxItems"], sagas["items"]["required"]) == (1, 500, ["definition", "input"])
    told = batch["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["items"]["items"]
    assert told["properties"]["outcome"]["enum"] == ["created", "known", "conflict", "invalid"]
    listed = paths["/api/sagas"]["get"]
    assert [entry["name"] for entry in listed["parameters"] if entry["in"] == "query"] == [
        "definition", "status", "key", "keyPrefix", "waiting", "cursor", "limit"
    ]  # fmt: skip
    assert listed["responses"]["200"]["content"]["application/json"]["schema"]["required"] == ["items", "next"]
    upload = paths["/api/marketplace/analysis/upload"]["post"]
    assert upload["requestBody"]["content"]["multipart/form-data"]["schema"]["required"] == ["file", "channels"]
    assert "202" in upload["responses"]
    assert "$ref" not in json.dumps([operation.get("requestBody") for operation in paths["/api/sagas"].values()])
    schema = paths["/api/marketplace/analysis/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert "#/$defs" not in json.dumps(schema)


def test_a_summary_is_the_first_line_without_the_route() -> None:
    assert summary_of("`GET /x/{id}`: a thing.\n\nMore.") == "a thing"
    assert summary_of('`POST /x` with `{"a": 1}`: do it.') == "do it"
    assert summary_of(None) == ""
    document = document_of([Route("GET", "/x", plain)], [])
    assert document["paths"]["/x"]["get"]["summary"] == "Says nothing of its route"

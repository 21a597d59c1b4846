"""The command line: what it is told wrongly is one message with the remedy, and the documented exit code."""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from amends.api.server import ListenError, listening
from amends.cli import main, sagas

ID = "00000000-0000-7000-8000-000000000000"
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def amends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in an empty folder, with these variables: its exit code, and all that it said."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, **variables: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["amends", *arguments])
        with monkeypatch.context() as told:
            for name, value in variables.items():
                told.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out + said.err

    return run


NESTED = "[" * 100_000
USAGE = [
    (("up", "--port", "70000"), "--port"),
    (("up", "--port", "-1"), "--port"),
    (("api", "--port", "70000"), "--port"),
    (("up", "--sagas", ""), "module:attribute"),
    (("up", "--sagas", "../x"), "module:attribute"),
    (("up", "--sagas", "nosuch"), "there is no module 'nosuch'"),
    (("check", ""), "module:attribute"),
    (("up", "--data-dir", "file"), "file"),
    (("up", "--data-dir", "/dev/null/x"), "--data-dir or AMENDS_DATA_DIR"),
    (("saga", "list", "--status", "nope"), "'completed'"),
    (("saga", "list", "--waiting", "nope"), "'operator'"),
    (("saga", "show", "é"), "amends saga list"),
    (("saga", "show", "a b"), "amends saga list"),
    (("saga", "show", f"{ID}/events"), "amends saga list"),
    (("saga", "cancel", f"{ID}?x", "--reason", "y"), "amends saga list"),
    (("explain", "x"), "amends saga list"),
    (("keys", "create", "a", "--role", "king"), "'producer'"),
    (("keys", "create", "a"), "--role"),
    (("keys", "create", "", "--role", "viewer"), "printable"),
    (("doctor", "--rebuild", "nope"), "there are: marketplace_job_executions"),
    (("saga", "start", "approval", NESTED), "no JSON that can be read"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE, ids=[" ".join(entry[0])[:40] for entry in USAGE])
def test_what_cannot_be_meant_is_said_at_once_with_exit_code_2(
    amends: Call, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "file").touch()
    code, text = amends(*arguments)
    assert (code, said in text) == (2, True), text[-500:]
    assert not (tmp_path / ".amends" / "logs").exists()


def test_a_variable_that_names_no_application_is_exit_code_2(amends: Call) -> None:
    assert amends("up", AMENDS_SAGAS="nosuch")[0] == 2


@pytest.mark.parametrize("command", ["migrate", "up"])
@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
def test_a_database_that_is_not_there_is_exit_code_3(amends: Call, command: str, host: str) -> None:
    code, text = amends(command, DATABASE_URL=f"postgresql://u:hunter2@{host}/x", REDIS_URL="redis://127.0.0.1:1")
    assert code == 3
    assert "the database does not answer" in text
    assert "remedy: start it, or correct DATABASE_URL" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("arguments", [(), ("--invariants",), ("--json",)])
def test_a_doctor_who_finds_nothing_running_says_what_to_do(amends: Call, arguments: tuple[str, ...]) -> None:
    code, text = amends("doctor", *arguments)
    assert code == 3
    assert "run `amends up` in this folder, or set DATABASE_URL" in text
    assert "AMENDS_URL" in text


@pytest.mark.parametrize("arguments", [("list",), ("revoke", "x"), ("create", "a", "--role", "viewer")])
def test_keys_without_a_database_say_what_to_do(amends: Call, arguments: tuple[str, ...]) -> None:
    code, text = amends("keys", *arguments)
    assert code == 3
    assert "run `amends up` in this folder, or set DATABASE_URL" in text


@pytest.mark.parametrize("content", ["", '{"url": "htt', "[]"])
@pytest.mark.parametrize("arguments", [("doctor",), ("saga", "list")])
def test_a_torn_runtime_file_is_named_with_the_remedy(
    amends: Call, tmp_path: Path, content: str, arguments: tuple[str, ...]
) -> None:
    (tmp_path / ".amends").mkdir()
    (tmp_path / ".amends" / "runtime.json").write_text(content)
    code, text = amends(*arguments)
    assert code == 2
    assert "runtime.json cannot be read" in text
    assert "remedy: remove it" in text


def test_a_module_that_cannot_be_imported_is_exit_code_1(amends: Call, tmp_path: Path) -> None:
    (tmp_path / "broken_module.py").write_text("x = (\n")
    code, text = amends("check", "broken_module")
    assert (code, "broken_module.py:1: SyntaxError" in text, "Traceback" in text) == (1, True, False)


@pytest.mark.parametrize("name", ["root", " Root "])
def test_no_key_is_called_as_the_key_of_the_settings(amends: Call, name: str) -> None:
    code, text = amends("keys", "create", name, "--role", "viewer")
    assert (code, "take another" in text) == (2, True)


def test_what_is_set_in_vain_is_said(amends: Call) -> None:
    code, text = amends("check", "marketplace", ENABLE_QUEUE_PROCESSING="false", SLACK_WEBHOOK_URL="https://x/secret")
    assert code == 0
    assert "warning: ENABLE_QUEUE_PROCESSING has no effect in this version" not in text, "it reads no settings"
    code, text = amends("doctor", ENABLE_QUEUE_PROCESSING="false", SLACK_WEBHOOK_URL="https://x/secret")
    assert "warning: ENABLE_QUEUE_PROCESSING has no effect in this version: work always goes" in text
    assert "warning: SLACK_WEBHOOK_URL has no effect in this version" in text
    assert "secret" not in text


@pytest.mark.parametrize("arguments", [("saga", "list"), ("doctor",), ("keys", "list"), ("reconcile",)])
def test_a_folder_with_an_impossible_name_is_exit_code_2(amends: Call, arguments: tuple[str, ...]) -> None:
    code, text = amends(*arguments, "--data-dir", "x" * 300)
    assert (code, "remedy: " in text, "Traceback" in text) == (2, True, False)


def test_check_answers_machines_too(amends: Call) -> None:
    code, text = amends("check", "marketplace", "--json")
    assert code == 0
    assert [(entry["saga"], entry["notRunYet"]) for entry in json.loads(text)] == [("analysis", []), ("approval", [])]


def test_check_and_describe_show_the_definition_that_runs_with_these_settings(amends: Call) -> None:
    told = {"QUEUE_MAX_RETRIES": "1", "AMENDS_STEP_TIMEOUT": "3"}
    _, text = amends("check", "marketplace", "--json", **told)
    checked = {entry["saga"]: entry["fingerprint"] for entry in json.loads(text)}
    _, text = amends("saga", "describe", "approval", **told)
    assert f"fingerprint {checked['approval'][:6]}" in text
    assert "1 retry (1 s)" in text
    _, text = amends("check", "marketplace", "--json")
    assert checked["approval"] not in text


def test_describe_needs_no_database(amends: Call) -> None:
    code, text = amends("saga", "describe", "approval", DATABASE_URL="postgresql://u@127.0.0.1:1/x")
    assert (code, " open" in text.splitlines()[0]) == (0, False)


def test_show_gives_machines_the_history_page_by_page(amends: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"0": ([{"sequenceNumber": 1}], "1"), "1": ([{"sequenceNumber": 2}], None)}

    def answer(settings: object, method: str, path: str, body: object = None) -> object:
        if "/events?" not in path:
            return {"sagaId": ID, "version": 2}
        items, following = pages[path.rpartition("cursor=")[2]]
        return {"items": items, "next": following}

    monkeypatch.setattr(sagas, "call", answer)
    code, text = amends("saga", "show", ID.upper(), "--json")
    assert code == 0
    assert json.loads(text) == {"sagaId": ID, "version": 2, "history": [{"sequenceNumber": 1}, {"sequenceNumber": 2}]}


def test_list_goes_on_where_a_page_ended(amends: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(settings: object, method: str, path: str, body: object = None) -> object:
        asked.append(path)
        return {"items": [], "next": ID}

    monkeypatch.setattr(sagas, "call", answer)
    code, text = amends("saga", "list", "--cursor", "here", "--status", "completed")
    assert (code, f"--cursor {ID}" in text) == (0, True)
    assert asked == ["/api/sagas?status=completed&limit=50&cursor=here"]


async def test_an_address_that_is_in_use_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}.*(?s:.*)AMENDS_PORT"):
            async with listening(web.Application(), "127.0.0.1", port):
                pytest.fail("it listens")

"""Commands and what answers them: only an Amends is believed, and its key goes to nobody else."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from amends.cli.remote import RefusedError, UnavailableError, call, runtime_of
from amends.settings import Settings, SettingsError, load

KEY = "a key of the settings".replace(" ", "-")
PAGE: dict[str, Any] = {"items": [], "next": None}


class Peer:
    """A server that answers whatever it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, json.dumps(PAGE).encode(), dict[str, str]()
        self.asked: list[tuple[str, str | None]] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                peer.asked.append((self.path, self.headers.get("Authorization")))
                self.send_response(peer.status)
                for name, value in ({"Content-Length": str(len(peer.body))} | peer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(peer.body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def settings(self, **more: str) -> Settings:
        return load({"AMENDS_URL": self.url, "AMENDS_API_KEY": KEY, **more})


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def written(folder: Path, **content: object) -> str:
    (folder / "runtime.json").write_text(json.dumps(content))
    return str(folder)


def test_what_runs_here_is_behind_no_proxy(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert call(peer.settings(), "GET", "/api/sagas") == PAGE
    named = peer.settings(AMENDS_URL=peer.url.replace("127.0.0.1", "localhost"))
    assert call(named, "GET", "/api/sagas") == PAGE
    with pytest.raises(UnavailableError):
        call(peer.settings(AMENDS_URL="http://amends.invalid"), "GET", "/api/sagas")
    assert [shown for _, shown in peer.asked] == [f"Bearer {KEY}"] * 2


def test_the_key_of_this_folder_is_shown_to_no_other_address(peer: Peer, tmp_path: Path) -> None:
    folder = written(tmp_path, url="http://127.0.0.1:1", api_key=KEY)
    with pytest.raises(SettingsError, match="AMENDS_API_KEY is needed with AMENDS_URL"):
        call(load({"AMENDS_URL": peer.url, "AMENDS_DATA_DIR": folder}), "GET", "/api/sagas")
    assert peer.asked == []
    folder = written(tmp_path, url=peer.url, api_key=KEY)
    assert call(load({"AMENDS_URL": f"{peer.url}/", "AMENDS_DATA_DIR": folder}), "GET", "/api/sagas") == PAGE
    assert call(load({"AMENDS_DATA_DIR": folder}), "GET", "/api/sagas") == PAGE


def test_no_redirect_is_followed(peer: Peer) -> None:
    peer.status, peer.headers = 302, {"Location": f"{peer.url}/other"}
    with pytest.raises(UnavailableError, match=r"sends us to.*/other.*\n  remedy: set AMENDS_URL"):
        call(peer.settings(), "GET", "/api/sagas")
    assert [path for path, _ in peer.asked] == ["/api/sagas"]


PROBLEM = json.dumps({"title": "Not found", "detail": "there is no such saga"}).encode()
ANSWERS: list[tuple[int, bytes, dict[str, str], type[Exception], str]] = [
    (404, PROBLEM, {}, RefusedError, "Not found: there is no such saga"),
    (503, PROBLEM, {}, UnavailableError, "Not found: there is no such saga"),
    (502, b"<html>Bad gateway</html>", {}, UnavailableError, "no Amends: it answers 502"),
    (404, b"[]", {}, UnavailableError, "no Amends: it answers 404"),
    (404, b"<html>", {}, UnavailableError, "no Amends: it answers 404"),
    (404, b'{"message": "x"}', {}, UnavailableError, "no Amends: it answers 404"),
    (404, PROBLEM, {"Content-Length": "900"}, UnavailableError, "no Amends: it answers 404"),
    (200, b"<html>hello</html>", {}, UnavailableError, "no Amends: it answers b'<html>"),
    (200, b"[]", {}, UnavailableError, "no Amends"),
    (200, b"[" * 100_000, {}, UnavailableError, "no Amends"),
    (200, b"\xff\xfe", {}, UnavailableError, "no Amends"),
    (200, b'{"items"', {"Content-Length": "900"}, UnavailableError, "no Amends: IncompleteRead"),
]


@pytest.mark.parametrize(("status", "body", "headers", "kind", "says"), ANSWERS)
def test_what_is_no_answer_of_ours_is_said_in_a_line_with_the_remedy(
    peer: Peer, status: int, body: bytes, headers: dict[str, str], kind: type[Exception], says: str
) -> None:
    peer.status, peer.body, peer.headers = status, body, headers
    with pytest.raises(kind, match=says) as told:
        call(peer.settings(), "GET", "/api/sagas")
    assert kind is RefusedError or "remedy: " in str(told.value) or body == PROBLEM
    assert len(str(told.value)) < 500


def test_an_answer_that_lacks_what_ours_have_is_none_of_ours(peer: Peer) -> None:
    peer.body = b'{"items": [{}]}'
    found = call(peer.settings(), "GET", "/api/sagas")
    for lacking, name in ((found, "next"), (found["items"][0], "sagaId")):
        with pytest.raises(UnavailableError, match=f"'{name}' is missing in its answer\n  remedy: correct AMENDS_URL"):
            lacking[name]


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.9\r\n", b"-ERR wrong number of arguments\r\n", b""])
def test_what_speaks_no_http_is_unavailable(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="remedy: "):
            call(load({"AMENDS_URL": url, "AMENDS_API_KEY": KEY}), "GET", "/api/sagas")
        thread.join()


def _none(folder: Path) -> str:
    return str(folder / "none")


def _within_a_file(folder: Path) -> str:
    (folder / "file").touch()
    return str(folder / "file" / "x")


@pytest.mark.parametrize("place", [_none, _within_a_file])
def test_where_nothing_runs_nothing_is_known(tmp_path: Path, place: Callable[[Path], str]) -> None:
    assert runtime_of(load({"AMENDS_DATA_DIR": place(tmp_path)})) is None


def _number_for_a_url(folder: Path) -> str:
    return written(folder, url=5, api_key=KEY)


def _too_long(folder: Path) -> str:
    return str(folder / ("x" * 300))


def _too_deep(folder: Path) -> str:
    (folder / "runtime.json").write_text("[" * 100_000)
    return str(folder)


@pytest.mark.parametrize("place", [_number_for_a_url, _too_long, _too_deep])
def test_a_folder_that_cannot_be_meant_is_said_with_the_remedy(tmp_path: Path, place: Callable[[Path], str]) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: (?s:.*)remedy: ") as told:
        runtime_of(load({"AMENDS_DATA_DIR": place(tmp_path)}))
    assert len(str(told.value)) < 700

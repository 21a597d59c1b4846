"""The operators' commands: what they send, what they cannot mean, and when a terminal is asked first."""

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amends.cli import asking, holding, main
from amends.cli.remote import MovedError, RefusedError

ID = "00000000-0000-7000-8000-000000000001"
Call = Callable[..., tuple[int, str]]
WHY = ("--reason", "looked")


class Api:
    """An API with one saga, which moves when it is told to."""

    def __init__(self) -> None:
        self.version = 7
        self.asked: list[tuple[str, Any, str | None]] = []
        self.moves_before: list[int] = []
        self.pages: list[dict[str, Any]] = []

    def call(self, settings: object, method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        if "/events?" in path:
            return {"items": []}
        if method == "GET":
            return self.view()
        if self.moves_before:
            self.version = self.moves_before.pop(0)
        told: dict[str, str] = headers or {}
        seen = told.get("If-Match")
        if seen not in (None, f'"{self.version}"'):
            raise MovedError("Moved: it has moved")
        self.asked.append((path.removeprefix("/api/sagas/"), dict(body), seen))
        return self.pages.pop(0) if self.pages else self.view()

    def view(self) -> dict[str, Any]:
        return {
            "sagaId": ID, "definition": "d", "key": None, "status": "active", "held": False, "version": self.version,
            "error": None, "waits": [], "currentStep": 0, "steps": [], "createdAt": "2026-01-01T00:00:00Z",
            "completedAt": None,
        }  # fmt: skip


class Terminal(io.StringIO):
    """Somebody sits at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api()
    monkeypatch.setattr(asking, "call", made.call)
    monkeypatch.setattr(holding, "call", made.call)
    return made


@pytest.fixture
def amends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command: its exit code, and all that it said. `types` is what somebody at a terminal types."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".amends").mkdir()

    def run(*arguments: str, types: str | None = None) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["amends", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO() if types is None else Terminal(types))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out + said.err

    return run


SENT: list[tuple[tuple[str, ...], str, dict[str, Any]]] = [
    (("retry", ID, "b"), "retry", {"step": "b"}),
    (("retry", ID, "b/0"), "retry", {"step": "b", "item": 0}),
    (("retry", ID, "b/12:undo"), "retry", {"step": "b", "item": 12, "undo": True}),
    (("retry", ID, "b:undo"), "retry", {"step": "b", "undo": True}),
    (
        ("resolve", ID, "b", "--happened", '{"n": 7}'),
        "resolve",
        {"step": "b", "outcome": "happened", "result": {"n": 7}},
    ),
    (("resolve", ID, "b/1", "--did-not-happen"), "resolve", {"step": "b", "item": 1, "outcome": "did_not_happen"}),
    (("resolve", ID, "b", "--skip"), "resolve", {"step": "b", "outcome": "skip"}),
    (("resolve", ID, "b/2:undo", "--undone"), "resolve", {"step": "b", "item": 2, "outcome": "undone"}),
    (("resolve", ID, "--accept"), "resolve", {"outcome": "accept"}),
    (("correct", ID, "b/3", "[1]"), "correct", {"step": "b", "item": 3, "value": [1]}),
    (("correct", ID, "input", "{}"), "correct", {"value": {}}),
    (("hold", ID), "hold", {}),
    (("release", ID), "release", {}),
]


@pytest.mark.parametrize(("arguments", "verb", "body"), SENT, ids=[" ".join(one[0]).replace(ID, "") for one in SENT])
def test_what_is_typed_is_what_is_asked(
    amends: Call, api: Api, arguments: tuple[str, ...], verb: str, body: dict[str, Any]
) -> None:
    code, text = amends("saga", *arguments, *WHY)
    assert code == 0, text
    looked = '"7"' if verb in ("retry", "resolve", "correct") else None
    assert api.asked == [(f"{ID}/{verb}", {"reason": "looked", **body}, looked)]


SENSELESS = [
    (("retry", ID, "b/x", *WHY), "its item as STEP/0"),
    (("retry", ID, "b:redo", *WHY), "its undo as STEP:undo"),
    (("retry", ID, "b"), "--reason"),
    (("resolve", ID, "b", *WHY), "say one of --happened JSON"),
    (("resolve", ID, "b", "--skip", "--undone", *WHY), "say one of --happened JSON"),
    (("resolve", ID, "--skip", *WHY), "name the STEP"),
    (("resolve", ID, "b", "--accept", *WHY), "leave STEP out"),
    (("resolve", ID, "b:undo", "--did-not-happen", *WHY), "an undo that you did is --undone"),
    (("resolve", ID, "b", "--happened", "{", *WHY), "no JSON that can be read"),
    (("resolve", ID, "b", "skip", *WHY), "unexpected extra argument"),
    (("correct", ID, "b:undo", "1", *WHY), "an undo gives nothing"),
    (("correct", ID, "b", "1", "--step", "b", *WHY), "No such option"),
    (("hold", *WHY), "name a SAGA, or a filter"),
    (("hold", ID, "--definition", "d", *WHY), "name a SAGA, or a filter"),
    (("hold", "--definition", "d", "--expect-version", "3", *WHY), "is about one saga"),
    (("release", "x", *WHY), "amends saga list"),
]


@pytest.mark.parametrize(("arguments", "says"), SENSELESS, ids=[says for _, says in SENSELESS])
def test_what_cannot_be_meant_is_said_before_anything_is_asked(
    amends: Call, api: Api, arguments: tuple[str, ...], says: str
) -> None:
    code, text = amends("saga", *arguments)
    assert (code, says in " ".join(text.replace("│", " ").split())) == (2, True), text
    assert api.asked == []


DOCUMENTS = Path(__file__).parent.parent.parent / "docs"
PAGES = [DOCUMENTS / "guides" / "operating.md", DOCUMENTS / "runbooks" / "README.md"]
COMMAND = r"`amends (saga (?:cancel|hold|release|retry|correct|resolve|signal) [^`]+)`"
WRITTEN = re.findall(COMMAND, "".join(page.read_text("utf-8") for page in PAGES))
SAID = {"ID": ID, "STEP": "b", "STEP:undo": "b:undo", "JSON": "{}", "…": "looked", "NAME": "n", "TEXT": "t"}


@pytest.mark.parametrize("command", sorted(set(WRITTEN)))
def test_what_the_documents_say_can_be_typed(amends: Call, api: Api, command: str) -> None:
    words = [SAID.get(word, word) for word in command.split()]
    some = "--definition" in words
    api.pages = [{"matched": 1, "changed": 0, "refused": [], "next": None}] if some else []
    code, text = amends(*words, *(() if "--reason" in words or "signal" in words else WHY))
    assert code == 0, text
    assert len(api.asked) == 1


RETRY = ("saga", "retry", ID, "b", *WHY)


def test_a_terminal_is_asked_when_the_saga_has_moved_since_it_was_shown(amends: Call, api: Api) -> None:
    assert amends("explain", ID)[0] == 0
    api.version = 9
    code, text = amends(*RETRY, types="n\n")
    assert (code, api.asked) == (1, [])
    assert "it has moved since you looked, from version 7 to 9:" in text
    assert "d 00000000-0000-7000-8000-000000000001, active, " in text
    api.version = 10
    code, text = amends(*RETRY, types="y\n")
    assert (code, api.asked[0][2]) == (0, '"10"'), text


def test_a_terminal_is_not_asked_when_it_has_not_moved_or_was_never_shown(amends: Call, api: Api) -> None:
    assert amends(*RETRY, types="")[0] == 0
    amends("explain", ID)
    assert amends(*RETRY, types="")[0] == 0
    assert len(api.asked) == 2


def test_a_program_acts_on_the_version_that_it_has_just_read(amends: Call, api: Api) -> None:
    amends("explain", ID)
    api.version = 9
    assert amends(*RETRY)[0] == 0
    assert api.asked[0][2] == '"9"'
    api.moves_before = [12]
    code, text = amends(*RETRY)
    assert (code, "Moved" in text, len(api.asked)) == (1, True, 1)


def test_a_saga_that_moves_under_the_hand_is_shown_to_a_terminal(amends: Call, api: Api) -> None:
    amends("explain", ID)
    api.moves_before = [8]
    code, text = amends(*RETRY, types="y\n")
    assert (code, "from version 7 to 8" in text, api.asked[0][2]) == (0, True, '"8"')


@pytest.mark.parametrize("before", ["explain", None, "the same"])
def test_what_moved_under_the_hand_is_never_asked_of_a_version_that_nobody_has_seen(
    amends: Call, api: Api, before: str | None, tmp_path: Path
) -> None:
    if before is not None:
        amends("explain", ID)
    if before == "the same":  # another window has shown it meanwhile
        (tmp_path / ".amends" / "shown.json").write_text(json.dumps({ID: 8}))
        api.version = 8
    api.moves_before = [8 if before != "the same" else 9]
    code, text = amends(*RETRY, types="n\n")
    assert (code, api.asked, "it has moved" in text, "go on?" in text) == (1, [], True, True)
    assert "d 00000000-0000-7000-8000-000000000001, active, " in text


def test_what_is_expected_in_so_many_words_is_never_asked_about(amends: Call, api: Api) -> None:
    code, text = amends(*RETRY, "--expect-version", "3", types="y\n")
    assert (code, "Moved" in text, api.asked) == (1, True, [])
    assert amends(*RETRY, "--expect-version", "7", types="")[0] == 0


def test_a_memory_that_is_torn_is_none(amends: Call, api: Api, tmp_path: Path) -> None:
    for text in ("{", "[]"):
        (tmp_path / ".amends" / "shown.json").write_text(text)
        assert amends(*RETRY, types="")[0] == 0


def test_a_filter_counts_first_and_acts_page_by_page(amends: Call, api: Api) -> None:
    some = ("saga", "hold", "--definition", "d", "--status", "active", "--key-prefix", "k-", *WHY)
    pages: list[dict[str, Any]] = [
        {"matched": 200, "changed": 0, "refused": [], "next": ID},
        {"matched": 3, "changed": 0, "refused": [], "next": None},
    ]
    api.pages = list(pages)
    assert amends(*some) == (0, "would be held: 203; --yes does it\n")
    chosen = {"reason": "looked", "definition": "d", "status": "active", "keyPrefix": "k-"}
    assert api.asked == [
        ("hold", {**chosen, "dryRun": True}, None),
        ("hold", {**chosen, "dryRun": True, "cursor": ID}, None),
    ]
    refused = [{"sagaId": ID, "detail": "the saga is completed"}]
    api.pages = [
        {"matched": 200, "changed": 199, "refused": refused, "next": ID},
        {"matched": 3, "changed": 3, "refused": [], "next": None},
    ]
    assert amends(*some, "--yes") == (0, f"held: 202; 1 refused:\n  {ID}: the saga is completed\n")
    api.pages = [{"matched": 12, "changed": 0, "refused": refused * 12, "next": None}]
    code, text = amends(*some, "--yes")
    assert (code, text.count("the saga is completed"), text.splitlines()[-1]) == (0, 10, "  and 2 more")
    api.pages = [{"matched": 1, "changed": 0, "refused": refused, "next": None}]
    _, text = amends("saga", "release", "--definition", "d", *WHY, "--yes", "--json")
    assert json.loads(text) == {"matched": 1, "changed": 0, "refused": refused, "dryRun": False}


def test_a_child_that_is_not_there_yet_leaves_the_line_as_it_is(
    amends: Call, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = {"kind": "child", "step": "c", "item": None, "what": "child c, saga x", "since": "now", "dueAt": None,
             "endsWhen": "the child has ended", "child": "x"}  # fmt: skip

    def call(settings: object, method: str, path: str, *more: Any) -> Any:
        if path.endswith("/x"):
            raise RefusedError("Not found")
        return {**api.view(), "waits": [child]}

    monkeypatch.setattr(asking, "call", call)
    assert "waits for child c, saga x, since now" in amends("explain", ID)[1]

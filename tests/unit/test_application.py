"""What the names in `AMENDS_SAGAS` and of `amends check` lead to."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amends import DefinitionError
from amends.application import load_applications

DECLARE = "from amends import Saga\nfrom pydantic import BaseModel\nclass In(BaseModel):\n    n: int\n"
ONE = f"{DECLARE}a = Saga('a', input=In)\n@a.step('first')\nasync def first(request: In) -> None: ...\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules can be imported, and are forgotten again."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def names_of(*modules: str) -> list[list[str]]:
    return [[saga.name for saga in app.sagas] for app in load_applications(modules)]


def test_a_saga_that_is_imported_is_the_same_saga(folder: Path) -> None:
    (folder / "one.py").write_text(ONE)
    (folder / "other.py").write_text("from one import a\nfrom amends import Saga\nb = Saga('b', input=a.graph.input)\n")
    assert names_of("one", "other") == [["a"], ["b"]]
    assert names_of("other", "one") == [["a", "b"]]
    assert names_of("one", "one:a") == [["a"]]


def test_two_sagas_of_one_name_are_told_by_their_lines(folder: Path) -> None:
    (folder / "one.py").write_text(ONE)
    (folder / "other.py").write_text(f"{DECLARE}\na = Saga('a', input=In)\n")
    with pytest.raises(DefinitionError) as raised:
        load_applications(["one", "other"])
    assert str(raised.value) == (
        "two sagas are called 'a': at one.py:5 and at other.py:6\n"
        "  remedy: rename one, or load the module under one name only"
    )


@pytest.mark.parametrize(
    "more",
    ["b = Saga('a', input=In)\n", "b = Saga('a', input=In)\nfrom amends import App\nx = App('x', sagas=[a, b])\n"],
)
def test_two_sagas_of_one_name_in_one_module_are_told_by_their_lines(folder: Path, more: str) -> None:
    (folder / "one.py").write_text(ONE + more)
    with pytest.raises(DefinitionError, match=r"two sagas are called 'a': at one\.py:5 and at one\.py:8\n  remedy: "):
        load_applications(["one"])


def test_an_app_may_name_a_saga_twice(folder: Path) -> None:
    (folder / "one.py").write_text(f"{ONE}from amends import App\nx = App('x', sagas=[a, a])\n")
    assert names_of("one") == [["a"]]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./one.py", "such as one$"),
        (":a", "'' is no name of a module"),
        ("nope.nope", "there is no module 'nope.nope'"),
        ("a b", "'a b' is no name of a module"),
    ],
)
def test_what_is_no_module_is_refused_with_a_remedy(folder: Path, name: str, says: str) -> None:
    (folder / "one.py").write_text(ONE)
    with pytest.raises(DefinitionError, match=says) as raised:
        load_applications([name])
    assert "remedy: name one that can be imported from here" in str(raised.value)


BROKEN = [
    ("x = (\n", "broken.py:1: SyntaxError: '(' was never closed"),
    ("\nimport nosuch_thing\n", "broken.py:2: ModuleNotFoundError: No module named 'nosuch_thing'"),
    ("\nfrom amends import nosuch\n", "broken.py:2: ImportError: cannot import name 'nosuch'"),
    ("def fail():\n    raise RuntimeError('a\\nb')\nfail()\n", "broken.py:2: RuntimeError: a b"),
    ("import sys\nsys.exit(0)\n", "broken.py:2: SystemExit: 0"),
    ("import json\njson.loads('x')\n", "broken.py:2: JSONDecodeError: Expecting value"),
    ("import worse\n", "worse.py:1: SyntaxError"),
    ("\0", "broken"),
]


@pytest.mark.parametrize("here", [True, False], ids=["in this folder", "elsewhere"])
@pytest.mark.parametrize(("text", "says"), BROKEN, ids=[entry[1][:40] for entry in BROKEN])
def test_a_module_that_cannot_be_imported_is_told_by_its_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str, here: bool
) -> None:
    if here:
        monkeypatch.chdir(folder)
    (folder / "broken.py").write_text(text)
    (folder / "worse.py").write_text("x =\n")
    with pytest.raises(DefinitionError) as raised:
        load_applications(["broken"])
    assert type(raised.value) is DefinitionError
    first, _, rest = str(raised.value).partition("\n")
    assert first.startswith("module 'broken' cannot be imported: ")
    assert says in first or not here
    assert says.rpartition(":")[2] in first or not here
    assert rest == "  remedy: correct it; importing a module of sagas must run nothing else"


def test_a_saga_that_does_not_hold_together_is_told_in_its_own_words(folder: Path) -> None:
    (folder / "broken.py").write_text(f"{DECLARE}a = Saga('a b', input=In)\n")
    with pytest.raises(DefinitionError, match="a b") as raised:
        load_applications(["broken"])
    assert "cannot be imported" not in str(raised.value)

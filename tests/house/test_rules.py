"""The rules of the house, as far as a program can see them."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from sagas.state import State, StepState, Wait

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("amends", "bench", "consumers", "eventstore", "marketplace", "orchestrator", "reconciler", "sagas")
LINES_MAX = 400
FUNCTION_LINES_MAX = 60
VAGUE = {"utils", "util", "common", "helpers", "types", "base", "manager", "misc"}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


HANDLER = "a handler"


def uses(path: Path, module: str, names: set[str]) -> set[str]:
    """The functions of a file that use these names of a module; an empty name stands for the file itself."""
    found: set[str] = set()
    called = {module}

    def look(node: ast.AST, where: str) -> None:
        for inner in ast.iter_child_nodes(node):
            within = where
            if isinstance(inner, ast.Import):
                called.update(alias.asname for alias in inner.names if alias.name == module and alias.asname)
            elif isinstance(inner, ast.ImportFrom) and inner.module == module:
                found.update(where for alias in inner.names if alias.name in names)
            elif isinstance(inner, ast.Attribute) and inner.attr in names and isinstance(inner.value, ast.Name):
                found.update({where} if inner.value.id in called else ())
            elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                handles = any(".step(" in ast.unparse(decorator) for decorator in inner.decorator_list)
                within = HANDLER if handles else inner.name
            look(inner, within)

    look(tree(path), "")
    return found


@pytest.mark.parametrize(
    "path", list(sources(*PACKAGES, "tests", "scripts")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LINES_MAX
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_MAX, f"{node.name} is too long"


def test_names_of_modules_say_something() -> None:
    assert not [path for path in sources(*PACKAGES) if path.stem in VAGUE]


def test_every_public_name_is_documented() -> None:
    silent: list[str] = []
    for path in sources(*PACKAGES):
        module = tree(path)
        if ast.get_docstring(module) is None:
            silent.append(str(path))
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and ast.get_docstring(node) is None:
                silent.append(f"{path}: {node.name}")
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                silent += [] if ast.get_docstring(node) else [f"{path}: {node.name}"]
    assert silent == []


def test_one_module_reads_the_environment() -> None:
    readers = {path.relative_to(ROOT) for path in sources(*PACKAGES) if uses(path, "os", {"environ", "getenv"})}
    assert readers == {Path("amends/settings.py")}


def test_the_fold_changes_no_field_that_there_is_not() -> None:
    """Nobody looks at the names when a head is copied (sagas/copies.py)."""
    known = {field.name for kind in (State, StepState, Wait) for field in fields(kind)}
    changed = {
        keyword.arg
        for path in sources("sagas")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "changed"
        for keyword in node.keywords
    }
    assert changed - {None} <= known
    assert "status" in changed


def test_one_module_knows_redis() -> None:
    knowing = {path.relative_to(ROOT) for path in sources(*PACKAGES) if "redis" in imports(path)}
    foreign = Path("bench/foreign/celery_client.py")  # never imported: another interpreter runs it
    assert knowing == {Path("consumers/connections.py"), foreign}


def test_the_application_imports_nothing_of_ours_but_the_front_door() -> None:
    for path in sources("marketplace"):
        assert not imports(path) & {"sagas", "eventstore", "orchestrator", "consumers", "reconciler"}, path
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "amends":
                assert node.module == "amends", f"{path}: only `from amends import …`"


def test_tests_never_sleep_to_wait() -> None:
    sleepy = {
        (str(path.relative_to(ROOT)), where)
        for path in sources("tests")
        for module in ("asyncio", "time")
        for where in uses(path, module, {"sleep"}) - {HANDLER}  # which is slow on purpose
    }
    assert sleepy == {("tests/servers.py", "poll")}, "ask with `until` or `poll`; virtual time has `clock.sleep`"


def test_the_rules_see_a_name_however_it_is_imported(tmp_path: Path) -> None:
    module = tmp_path / "m.py"
    for text in ("import time\ntime.sleep(1)", "from time import sleep", "import time as t\nt.sleep(1)"):
        module.write_text(text)
        assert uses(module, "time", {"sleep"}) == {""}
    module.write_text(
        "import time\n\ndef poll():\n    time.sleep(1)\n\nasync def f(clock):\n    await clock.sleep(1)\n"
    )
    assert uses(module, "time", {"sleep"}) == {"poll"}


def test_nothing_is_pickled() -> None:
    assert not [path for path in sources(*PACKAGES) if imports(path) & {"pickle", "marshal", "shelve", "dill"}]


def test_locks_hold_hashes_and_no_address() -> None:
    for path in [*(ROOT / "requirements").glob("*.txt"), ROOT / "bench/peers/requirements.txt"]:
        text = path.read_text("utf-8")
        assert "://" not in text
        pins = re.findall(r"^[a-zA-Z0-9_.-]+(?:\[[a-z,]+\])?==", text, re.MULTILINE)
        assert len(pins) > 5
        assert text.count("--hash=sha256:") >= len(pins)
    text = (ROOT / "bench/peers/package-lock.json").read_text("utf-8")
    assert "://" not in text
    assert text.count('"integrity": "sha512-') == text.count('"node_modules/') > 5


def test_no_path_of_a_machine_and_no_credential_is_committed() -> None:
    wrong = re.compile(r"/(?:root|home|work)/[a-z]|BEGIN [A-Z ]*PRIVATE KEY|sk-[A-Za-z0-9]{20}")
    for path in [*sources(*PACKAGES, "tests", "scripts"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        if path != Path(__file__):
            assert not wrong.search(path.read_text("utf-8")), path


def test_importing_amends_loads_no_driver() -> None:
    import subprocess
    import sys

    program = (
        "import amends, sys; "
        "print([m for m in ('asyncpg', 'aiohttp', 'redis', 'pydantic', 'orjson', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_public_names_are_sorted_and_all_there() -> None:
    import amends

    assert list(amends.__all__) == sorted(amends.__all__)
    for name in amends.__all__:
        assert getattr(amends, name) is not None
